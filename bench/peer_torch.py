"""PyTorch's side of bench/measure.py: the same functions and networks as a user of PyTorch writes them.

Reads one JSON request a line, {"case": …, "backend": "eager" | "compile" | "sdpa", …} to make a case ready and {"repeat": N} to time it,
and answers each with one JSON line. A case that cannot be made is answered with {"error": …}.
"""
import math
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

from peer_server import serve


# ---- attention -------------------------------------------------------------------------------------------------------------------------
def scaled(q, k):
    return q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])


def places(s):
    return torch.arange(s.shape[-2])[:, None], torch.arange(s.shape[-1])[None, :]


def attend(scores, v):
    return torch.softmax(scores, dim=-1) @ v


def plain(q, k, v):
    return attend(scaled(q, k), v)


def causal(q, k, v):
    s = scaled(q, k)
    i, j = places(s)
    return attend(s.masked_fill(j > i, -math.inf), v)


def sliding_window(q, k, v, window=128):
    s = scaled(q, k)
    i, j = places(s)
    return attend(s.masked_fill((j > i) | (i - j >= window), -math.inf), v)


def alibi(q, k, v, slope):
    s = scaled(q, k)
    i, j = places(s)
    return attend(s + slope[:, None, None] * (j - i), v)


def pair_bias(q, k, v, bias):
    return attend(scaled(q, k) + bias, v)


def softcap(q, k, v):
    return attend(30.0 * torch.tanh(q @ k.transpose(-1, -2) / 30.0), v)


def documents(q, k, v, doc):
    other = doc[:, None, :, None] != doc[:, None, None, :]
    return attend(scaled(q, k).masked_fill(other, -math.inf), v)


def sigmoid_attention(q, k, v):
    return torch.sigmoid(scaled(q, k) - math.log(q.shape[-2])) @ v


def over_queries(q, k, v):
    return torch.softmax(q @ k.transpose(-1, -2), dim=-2) @ v


def by_sum(q, k, v):
    w = torch.relu(q) @ torch.relu(k).transpose(-1, -2) + 1e-6
    return (w / w.sum(-1, keepdim=True)) @ v


# The library's own fused call, for whom it has one.
def sdpa(name):
    call = F.scaled_dot_product_attention
    if name == "plain":
        return call
    if name == "causal":
        return lambda q, k, v: call(q, k, v, is_causal=True)
    if name == "pair_bias":
        return lambda q, k, v, bias: call(q, k, v, attn_mask=bias[None])
    if name == "sliding_window":
        def windowed(q, k, v):
            i, j = torch.arange(q.shape[-2])[:, None], torch.arange(k.shape[-2])
            return call(q, k, v, attn_mask=(j <= i) & (i - j < 128))
        return windowed
    if name == "documents":
        return lambda q, k, v, doc: call(q, k, v, attn_mask=doc[:, None, :, None] == doc[:, None, None, :])
    if name == "alibi":
        def biased(q, k, v, slope):
            i, j = torch.arange(q.shape[-2])[:, None], torch.arange(k.shape[-2])
            return call(q, k, v, attn_mask=slope[:, None, None] * (j - i))
        return biased
    raise ValueError(f"PyTorch has no fused call for {name}")


def forward_and_backward(function, inputs, learned, cotangent):
    """A call that takes the gradients of `learned`, some of the inputs."""
    for x in learned:
        x.requires_grad_()

    def both():
        for x in learned:
            x.grad = None
        function(*inputs).backward(cotangent)
    return both


def attention(request):
    name, (b, h, t, e) = request["name"], request["shape"]
    inputs = [torch.randn(b, h, t, e) for _ in range(3)]
    if name == "alibi":
        inputs.append(2.0 ** -torch.arange(1.0, h + 1))
    if name == "pair_bias":
        inputs.append(torch.randn(h, t, t))
    learned = list(inputs)
    if name == "documents":
        inputs.append((torch.arange(t) // 256).expand(b, t).contiguous())
    function = sdpa(name) if request["backend"] == "sdpa" else globals()[name]
    if request["backend"] == "compile":
        function = torch.compile(function, dynamic=False)
    if not request["backward"]:
        def forward():
            with torch.no_grad():
                function(*inputs)
        return forward
    return forward_and_backward(function, inputs, learned, torch.randn(b, h, t, e))


# ---- networks --------------------------------------------------------------------------------------------------------------------------
class Block(nn.Module):
    def __init__(self, width, heads, fused):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.ln_1, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.ln_2, self.fc, self.proj = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.ln_1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True) if self.fused else causal(q, k, v)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, c))
        return x + self.proj(F.gelu(self.fc(self.ln_2(x))))


class Gpt(nn.Module):
    def __init__(self, vocabulary, context, width, heads, depth, fused):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.02)
        self.h = nn.Sequential(*(Block(width, heads, fused) for _ in range(depth)))
        self.ln_f = nn.LayerNorm(width)

    def forward(self, tokens, following):
        x = self.h(self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1])))
        return F.cross_entropy((self.ln_f(x) @ self.wte.weight.T).flatten(0, 1), following.flatten())


class AttentionCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3, padding=1)
        self.q, self.k, self.v, self.o = nn.Linear(64, 128), nn.Linear(64, 128), nn.Linear(64, 128), nn.Linear(128, 64)
        self.head = nn.Linear(64, 10)

    def forward(self, image, label):
        x = torch.relu(self.conv(image)).flatten(2).transpose(1, 2)
        w = torch.softmax(self.q(x) @ self.k(x).transpose(1, 2), dim=1)
        return F.cross_entropy(self.head(torch.relu(x + self.o(w @ self.v(x))).mean(1)), label)


def training(request):
    if request["name"] == "attention_cnn":
        model = AttentionCnn()
        batch = torch.randn(request["batch"], 3, 32, 32), torch.randint(0, 10, (request["batch"],))
    else:
        vocabulary, context, width, heads, depth = request["network"]
        model = Gpt(vocabulary, context, width, heads, depth, request["backend"] != "eager")
        batch = tuple(torch.randint(0, vocabulary, (request["batch"], context)) for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    loss = torch.compile(model) if request["backend"] == "compile" else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss(*batch).backward()
        optimizer.step()
    return step


# ---- products and what memory bounds ---------------------------------------------------------------------------------------------------
def product(request):
    m, n, k = request["shape"]
    a, b = torch.randn(m, k), torch.randn(n, k)
    return lambda: a @ b.T


def inference(request):
    dtype = torch.bfloat16 if request["precision"] == "bf16" else torch.float32
    model = nn.Sequential(nn.Linear(768, 3072), nn.GELU(approximate="tanh"), nn.Linear(3072, 768)).to(dtype)
    x = torch.randn(request["rows"], 768, dtype=dtype)
    function = torch.compile(model) if request["backend"] == "compile" else model

    def run():
        with torch.no_grad():
            return function(x)

    return run


def rows(request):
    n, width = request["shape"]
    leaves = [torch.randn(n, width), torch.randn(n, width), torch.ones(width), torch.zeros(width)]
    cotangent = torch.randn(n, width)

    def block(x, residual, gain, shift):
        return F.gelu(F.layer_norm(x + residual, (width,), gain, shift)) + residual

    function = torch.compile(block) if request["backend"] == "compile" else block
    return forward_and_backward(function, leaves, leaves, cotangent)


def adamw(request):
    weight = nn.Parameter(torch.randn(request["count"]) * 0.02)
    weight.grad = torch.randn_like(weight) * 1e-3
    return torch.optim.AdamW([weight], lr=1e-4, fused=True).step


def prepare(request):
    torch.manual_seed(0)
    torch._dynamo.reset()
    return {"attention": attention, "training": training, "product": product, "inference": inference, "rows": rows, "adamw": adamw}[request["case"]](request)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    torch.set_flush_denormal(True)  # heed does; else denormal numbers slow some backward passes down several times
    serve(prepare, {"version": torch.__version__})
