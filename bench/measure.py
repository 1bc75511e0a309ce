#!/usr/bin/env python3
"""Measures heed and its peers in turn on this machine, and writes what it found.

  bench/measure.py attention --python PEERS/bin/python --results measured.json
  bench/measure.py all       --python PEERS/bin/python --results measured.json
  bench/measure.py gpu       --python PEERS/bin/python --results measured.json
  bench/measure.py write     --results measured.json --output docs/performance.md

Parts: attention, products, inference, rows, adamw, training, compiling, memory, start, gpu (skipped where there is none). Each adds to the results, so that they can be measured one
at a time. --python names a Python with PyTorch and JAX (python3 -m venv peers && peers/bin/pip install torch jax); without it heed alone
is measured. Every case is measured in rounds, heed and each peer in turn, and what is compared are the times of one round: machines are
noisy, a ratio of one run holds where an absolute figure does not.
"""
import argparse
import array
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import markdown

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ATTENTION = ["plain", "causal", "sliding_window", "documents", "alibi", "pair_bias", "softcap", "sigmoid_attention", "over_queries", "by_sum"]
PRODUCTS = [(256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (512, 3072, 768), (2048, 768, 3072),
            (2048, 2304, 768), (1, 3072, 768), (8, 3072, 768), (32, 768, 3072)]
# vocabulary, context, width, heads, depth; batch
GPT = {"gpt": ((256, 256, 384, 6, 6), 8), "gpt2": ((50257, 1024, 768, 12, 12), 1)}
ADAMW = 124_000_000
INFERENCE = [1, 2, 8, 16, 32, 64, 128, 256, 1024]  # rows
GPU_PRODUCTS = [(1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096), (8192, 8192, 8192), (8192, 3072, 768), (8192, 768, 3072)]
GPU_LENGTHS, GPU_TOKENS, GPU_WIDTH = [2048, 4096, 8192, 16384], 16384, 2048  # positions of a row; of all rows; of all heads


class Failed(Exception):
    pass


# ---- heed ------------------------------------------------------------------------------------------------------------------------------
class Heed:
    def __init__(self, options):
        self.options = options

    def command(self, file, *flags, size=None, settings=None):
        line = [self.options.heed, "bench", str(ROOT / file), "--json", "--threads", str(self.options.threads), *flags]
        if size:
            line += ["--size", ",".join(f"{name}={value}" for name, value in size.items())]
        if settings:
            line += ["--set", ",".join(f"{name}={value}" for name, value in settings.items())]
        return line

    def bench(self, *arguments, **named):
        """The JSON of `heed bench`, and the largest memory of its process in MiB."""
        child = subprocess.Popen(self.command(*arguments, **named), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, errors = child.communicate()
        if child.returncode:
            raise Failed(errors.strip().splitlines()[0] if errors else f"exit status {child.returncode}")
        return json.loads(out)


# ---- peers -----------------------------------------------------------------------------------------------------------------------------
class Peer:
    """A process that serves one backend; it is started when it is first asked."""

    def __init__(self, options, backend, environment=None):
        self.backend = backend
        script = HERE / {"xla": "peer_jax.py", "cuda": "peer_cuda.py"}.get(backend, "peer_torch.py")
        threads = str(options.threads)
        start = time.perf_counter()
        self.process = subprocess.Popen([options.python, str(script), threads], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True,
                                        env=os.environ | {"OMP_NUM_THREADS": threads} | (environment or {}))
        self.version = self.answer()["version"]
        self.start_s = time.perf_counter() - start

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.backend} ended")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def prepare(self, **case):
        return self.ask(backend=self.backend, **case)["first_s"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Peers:
    def __init__(self, options):
        self.options, self.running = options, {}

    def get(self, backend):
        if backend not in self.running:
            self.running[backend] = Peer(self.options, backend)
        return self.running[backend]

    def drop(self, backend):
        peer = self.running.pop(backend, None)
        if peer:
            peer.process.kill()
            peer.process.wait()

    def versions(self):
        return {("JAX" if name == "xla" else "PyTorch"): peer.version for name, peer in self.running.items()}

    def close(self):
        for peer in self.running.values():
            peer.close()


# ---- one case, in rounds ---------------------------------------------------------------------------------------------------------------
def compare(peers, backends, case, run_heed, options, repeat):
    """{"heed_s", "against": [{"backend", "s", "ratio"} or {"backend", "error"}]}; a ratio above 1 says that heed is faster."""
    ready, against = [], {}
    for backend in backends:
        try:
            peers.get(backend).prepare(**case)
            ready.append(backend)
        except Failed as error:
            against[backend] = {"backend": backend, "error": str(error)}
            if "ended" in str(error):
                peers.drop(backend)
    heed, times = [], {backend: [] for backend in ready}
    for _ in range(options.rounds):
        heed.append(run_heed(repeat)["median_s"])
        for backend in ready:
            times[backend].append(statistics.median(peers.get(backend).ask(repeat=repeat)["seconds"]))
    for backend in ready:
        ratios = [theirs / ours for theirs, ours in zip(times[backend], heed)]
        against[backend] = {"backend": backend, "s": statistics.median(times[backend]), "ratio": statistics.median(ratios),
                            "least_ratio": min(ratios), "most_ratio": max(ratios)}
    return {"heed_s": statistics.median(heed), "against": [against[backend] for backend in backends]}


def say(row):
    text = f"{row['part']} {row['case']}"
    if "heed_s" in row:
        text += f": {row['heed_s'] * 1e3:.2f} ms; " + ", ".join(
            f"{each['backend']} {each['ratio']:.2f}" if "ratio" in each else f"{each['backend']}: {each['error'][:40]}" for each in row["against"])
    print(text, file=sys.stderr, flush=True)


def write_documents(path, length, size=256):
    """Documents of `size` tokens one after the other, as an .npy file: the same as the peers have."""
    header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': (1, {length}), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    numbers = array.array("i", (place // size for place in range(length)))
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + numbers.tobytes())


def attention(options, heed, peers, add):
    with tempfile.TemporaryDirectory() as folder:
        measure_attention(options, heed, peers, add, Path(folder))


def measure_attention(options, heed, peers, add, folder):
    for length in options.lengths:
        for width in options.widths:
            for name in options.names or ATTENTION:
                for backward in options.directions:
                    size = {"B": 1, "H": 8, "E": width, "D": width}
                    size |= {"Q": length, "K": length} if name in ("plain", "causal", "over_queries") else {"T": length}
                    flags = ["--grad", "--cotangent", "out=random"] if backward else []
                    if name == "documents":
                        write_documents(folder / "documents.npy", length)
                        flags += ["--input", f"doc={folder / 'documents.npy'}"]
                    backends = [each for each in options.peers if each != "eager" and (each != "sdpa" or name in ATTENTION[:6])]
                    row = compare(peers, backends,
                                  {"case": "attention", "name": name, "shape": (1, 8, length, width), "backward": backward},
                                  lambda n: heed.bench(f"examples/attention_variants.heed:{name}", *flags, "--repeat", str(n), size=size),
                                  options, options.repeat)
                    add({"part": "attention", "case": f"{name} T{length} d{width} {'both' if backward else 'forward'}", "name": name,
                         "length": length, "width": width, "backward": backward, **row})


def products(options, heed, peers, add):
    for m, n, k in PRODUCTS:
        size = {"M": m, "N": n, "K": k}
        repeat = max(5, min(200, int(5e9 / (2 * m * n * k))))
        row = compare(peers, [each for each in options.peers if each in ("eager", "xla")], {"case": "product", "shape": (m, n, k)},
                      lambda count: heed.bench("bench/workloads.heed:product", "--repeat", str(count), size=size), options, repeat)
        add({"part": "products", "case": f"{m} x {n} x {k}", "gflop": 2e-9 * m * n * k, **row})


def inference(options, heed, peers, add):
    for precision in ("f32", "bf16"):
        for m in INFERENCE:
            row = compare(peers, [each for each in options.peers if each in ("eager", "compile")],
                          {"case": "inference", "rows": m, "precision": precision},
                          lambda n: heed.bench("bench/workloads.heed:layers", "--precision", precision, "--repeat", str(n), size={"M": m}),
                          options, max(10, 2000 // (m + 30)))
            add({"part": "inference", "case": f"{m} row{'s' if m > 1 else ''}, {precision}", **row})


def rows(options, heed, peers, add):
    row = compare(peers, [each for each in options.peers if each != "sdpa"], {"case": "rows", "shape": (4096, 768)},
                  lambda n: heed.bench("bench/workloads.heed:rows", "--grad", "--cotangent", "out=random", "--repeat", str(n), size={"N": 4096, "W": 768}),
                  options, 15)
    add({"part": "rows", "case": "layer_norm, gelu, residual and gradients, 4096 x 768", **row})


def adamw(options, heed, peers, add):
    row = compare(peers, [each for each in options.peers if each in ("eager", "xla")], {"case": "adamw", "count": ADAMW},
                  lambda n: heed.bench("bench/workloads.heed:update", "--train", "--repeat", str(n), settings={"count": ADAMW}), options, 5)
    add({"part": "rows", "case": "AdamW over 124 M parameters", **row})


def network(name):
    """What `heed bench` and the peers are told of a training step."""
    if name == "attention_cnn":
        return ("examples/attention_cnn.heed", {"size": {"B": 32}}), {"case": "training", "name": name, "batch": 32}
    (vocabulary, context, width, heads, depth), batch = GPT[name]
    settings = {"vocab": vocabulary, "context": context, "width": width, "heads": heads, "depth": depth}
    ours = ("examples/gpt.heed", {"size": {"B": batch, "T": context}, "settings": settings})
    return ours, {"case": "training", "name": name, "network": GPT[name][0], "batch": batch}


def networks(options):
    return options.names or ["attention_cnn", "gpt", "gpt2"]


def training(options, heed, peers, add):
    for name in networks(options):
        (file, named), case = network(name)
        row = compare(peers, [each for each in options.peers if each != "sdpa"], case,
                      lambda n: heed.bench(file, "--train", "--repeat", str(n), **named), options, 3 if name != "gpt2" else 1)
        add({"part": "training", "case": f"{name}, a step of batch {case['batch']}", **row})


def compiling(options, heed, peers, add):
    """From nothing and from the caches, each in a process of its own; the first step less a later one."""
    del peers
    for name in networks(options):
        (file, named), case = network(name)
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = (heed.bench(file, "--train", "--repeat", "1", "--cache", cache, **named)["compile_s"] for _ in range(2))
            against = []
            for backend in [each for each in options.peers if each in ("compile", "xla")]:
                environment = {"TORCHINDUCTOR_CACHE_DIR": cache + "/torch", "JAX_COMPILATION_CACHE_DIR": cache + "/jax"}
                seconds = []
                for _ in range(2):
                    peer = Peer(options, backend, environment)
                    first = peer.prepare(**case)
                    seconds.append(first - min(peer.ask(repeat=1)["seconds"]))
                    peer.close()
                against.append({"backend": backend, "cold_s": seconds[0], "warm_s": seconds[1]})
        add({"part": "compiling", "case": name, "cold_s": cold, "warm_s": warm, "against": against})


def memory(options, heed, peers, add):
    del peers
    cases = [(f"causal T{length}, forward and backward", ("examples/attention_variants.heed:causal", ["--grad", "--cotangent", "out=random"],
                                                          {"size": {"B": 1, "H": 8, "Q": length, "K": length, "E": 64, "D": 64}}),
              {"case": "attention", "name": "causal", "shape": (1, 8, length, 64), "backward": True}, ["compile", "sdpa", "xla"])
             for length in (4096, 8192)]
    for name in networks(options):
        (file, named), case = network(name)
        cases.append((f"{name}, a training step", (file, ["--train"], named), case, ["eager", "compile", "xla"]))
    for title, (file, flags, named), case, backends in cases:
        mine = heed.bench(file, *flags, "--repeat", "1", **named)["peak_rss_bytes"] / 2**20
        against = []
        for backend in [each for each in backends if each in options.peers]:
            try:
                peer = Peer(options, backend)
                peer.prepare(**case)
                against.append({"backend": backend, "mib": peer.ask(repeat=1)["peak_mib"]})
                peer.close()
            except Failed as error:
                against.append({"backend": backend, "error": str(error)})
        add({"part": "memory", "case": title, "heed_mib": mine, "against": against})


def start(options, heed, peers, add):
    del heed, peers

    def seconds(command):
        taken = []
        for _ in range(5):
            begin = time.perf_counter()
            if subprocess.run(command, capture_output=True, check=False).returncode:
                return None
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken)

    commands = {"heed --version": [options.heed, "--version"], "heed check examples/gpt.heed": [options.heed, "check", str(ROOT / "examples/gpt.heed")]}
    if options.python:
        commands |= {f"import {name}": [options.python, "-c", f"import {name}"] for name in ("torch", "jax")}
    for title, command in commands.items():
        if (taken := seconds(command)) is not None:
            add({"part": "start", "case": title, "s": taken})


def gpu(options, heed, peers, add):
    """Products and attention by the device's own clock, against PyTorch there, else against what the GPU does at most by its figures."""
    lines = subprocess.run([options.heed, "devices", "--json"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = next((each for each in map(json.loads, lines) if each["device"] == "cuda:0" and each["target"]), None)
    if not found:
        print("gpu: SKIPPED, nothing was measured: `heed devices` lists no NVIDIA GPU that heed has kernels for", file=sys.stderr)
        return
    options.gpu = found["gpu"]
    backends = ["cuda"] if options.python else []
    if not backends:
        print("gpu: no --python, so no PyTorch: compared with the GPU's nominal peak alone", file=sys.stderr)

    def measure(part, title, case, precision, flop, entry, flags, size, **more):
        flags = [*flags, "--device", "cuda", "--precision", precision]
        row = compare(peers, backends, case | {"precision": precision},
                      lambda n: heed.bench(f"bench/workloads.heed:{entry}", *flags, "--repeat", str(n), size=size), options, 20)
        add({"part": part, "case": title, "tflop": flop / 1e12, "peak_share": flop / row["heed_s"] / found["flop_per_second"][precision],
             "peak_of": precision, **more, **row})

    for m, n, k in GPU_PRODUCTS:
        for precision in ("bf16", "tf32", "f32"):
            measure("gpu products", f"{m} x {n} x {k}, {precision}", {"case": "product", "shape": (m, n, k)}, precision, 2 * m * n * k,
                    "product_bf16" if precision == "bf16" else "product", [], {"M": m, "N": n, "K": k})
    for width in (64, 128):
        for name in ("plain", "causal"):
            for length in GPU_LENGTHS:
                shape = (GPU_TOKENS // length, GPU_WIDTH // width, length, width)
                once = 4 * shape[0] * shape[1] * length * length * width / (2 if name == "causal" else 1)
                for backward in (False, True):
                    measure("gpu attention", f"{name} T{length} d{width} {'both' if backward else 'forward'}",
                            {"case": "attention", "name": name, "shape": shape, "backward": backward}, "bf16",
                            once * (3.5 if backward else 1), f"{name}_bf16", ["--grad", "--cotangent", "out=random"] if backward else [],
                            dict(zip("BHTE", shape)), name=name, length=length, width=width, backward=backward)


PARTS = {"attention": attention, "products": products, "inference": inference, "rows": rows, "adamw": adamw, "training": training, "compiling": compiling,
         "memory": memory, "start": start, "gpu": gpu}


# ---- results ---------------------------------------------------------------------------------------------------------------------------
def machine(options):
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = subprocess.run([options.heed, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory_gib": round(memory_gib), "system": platform.platform(), "heed": version,
            "commit": commit, "threads": options.threads} | ({"gpu": options.gpu} if options.gpu else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "all", "write"])
    parser.add_argument("--heed", default=str(ROOT / "build/release/tools/heed"), help="the binary (default build/release/tools/heed)")
    parser.add_argument("--python", help="a Python with the peers")
    parser.add_argument("--peers", type=lambda text: text.split(","), default=["eager", "compile", "sdpa", "xla"], help="eager,compile,sdpa,xla")
    parser.add_argument("--results", default="measured.json", help="JSON that is added to (default measured.json)")
    parser.add_argument("--output", default=str(ROOT / "docs/performance.md"), help="of `write`")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=5, help="runs of a round (attention)")
    parser.add_argument("--names", type=lambda text: text.split(","), help="of attention or of networks: these alone")
    parser.add_argument("--lengths", type=lambda text: [int(each) for each in text.split(",")], default=[1024, 4096])
    parser.add_argument("--widths", type=lambda text: [int(each) for each in text.split(",")], default=[64])
    parser.add_argument("--directions", type=lambda text: [{"forward": False, "both": True}[each] for each in text.split(",")],
                        default=[False, True], help="forward,both")
    options = parser.parse_args()
    options.gpu = None
    path = Path(options.results)
    results = json.loads(path.read_text()) if path.exists() else {"rows": []}
    if options.part == "write":
        Path(options.output).write_text(markdown(results))
        return
    if not options.python:
        options.peers = []
    peers = Peers(options)

    def add(row):
        say(row)
        row["when"] = datetime.date.today().isoformat()
        results["rows"] = [each for each in results["rows"] if (each["part"], each["case"]) != (row["part"], row["case"])] + [row]
        results["machine"] = results.get("machine", {}) | machine(options) | {"peers": results.get("machine", {}).get("peers", {}) | peers.versions()}
        path.write_text(json.dumps(results, indent=1) + "\n")

    try:
        for name in PARTS if options.part == "all" else [options.part]:
            PARTS[name](options, Heed(options), peers, add)
    except Failed as error:
        sys.exit(f"error: {error}")
    finally:
        peers.close()


if __name__ == "__main__":
    main()
