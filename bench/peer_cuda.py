"""cuBLAS and PyTorch's fused attention on a GPU, for bench/measure.py gpu: the functions of peer_torch.py there, timed by events.

A request also has a "precision": f32, tf32, or bf16, in which all arrays are.
"""
import torch

import peer_torch
from peer_server import serve


def seconds_of(step):
    between.zero_()  # empties caches, and is under way while the step is asked for, as in `heed bench`
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    step()
    end.record()
    end.synchronize()
    return 1e-3 * begin.elapsed_time(end)


def prepare(request):
    precision = request["precision"]
    torch.set_default_dtype(torch.bfloat16 if precision == "bf16" else torch.float32)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return peer_torch.prepare(request | {"backend": "sdpa"})


if __name__ == "__main__":
    if not torch.cuda.is_available():
        serve(prepare, {"error": "PyTorch sees no GPU"})
    else:
        torch.set_default_device("cuda")
        between = torch.empty(256 << 20, dtype=torch.uint8)
        serve(prepare, {"version": torch.__version__}, seconds_of)
