"""What the peers' programs share: requests and answers, one JSON object a line."""
import json
import resource
import sys
import time


def by_the_clock(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def serve(prepare, hello, seconds_of=by_the_clock):
    answer = lambda **values: print(json.dumps(values), flush=True)
    answer(**hello)
    step = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "repeat" in request:
                seconds = [seconds_of(step) for _ in range(request["repeat"])]
                answer(seconds=seconds, peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            else:
                step = None  # frees what the last case held
                start = time.perf_counter()
                step = prepare(request)
                step()
                answer(first_s=time.perf_counter() - start)
        except Exception as error:  # a peer that cannot do a case is a result, too
            answer(error=f"{type(error).__name__}: {error}"[:300])
