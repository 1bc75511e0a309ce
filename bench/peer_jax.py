"""JAX's side of bench/measure.py; requests and answers as in peer_torch.py. The compiler is XLA, whatever the backend is called."""
import math
import os
import sys

os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={str(int(sys.argv[1]) > 1).lower()} intra_op_parallelism_threads={sys.argv[1]}"

import jax
import jax.numpy as jnp

from peer_server import serve


# ---- attention -------------------------------------------------------------------------------------------------------------------------
def scaled(q, k):
    return q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])


def places(s):
    return jnp.arange(s.shape[-2])[:, None], jnp.arange(s.shape[-1])[None, :]


def attend(scores, v):
    return jax.nn.softmax(scores, axis=-1) @ v


def plain(q, k, v):
    return attend(scaled(q, k), v)


def causal(q, k, v):
    s = scaled(q, k)
    i, j = places(s)
    return attend(jnp.where(j <= i, s, -jnp.inf), v)


def sliding_window(q, k, v, window=128):
    s = scaled(q, k)
    i, j = places(s)
    return attend(jnp.where((j <= i) & (i - j < window), s, -jnp.inf), v)


def alibi(q, k, v, slope):
    s = scaled(q, k)
    i, j = places(s)
    return attend(s + slope[:, None, None] * (j - i), v)


def pair_bias(q, k, v, bias):
    return attend(scaled(q, k) + bias, v)


def softcap(q, k, v):
    return attend(30.0 * jnp.tanh(q @ k.swapaxes(-1, -2) / 30.0), v)


def documents(q, k, v, doc):
    return attend(jnp.where(doc[:, None, :, None] == doc[:, None, None, :], scaled(q, k), -jnp.inf), v)


def sigmoid_attention(q, k, v):
    return jax.nn.sigmoid(scaled(q, k) - math.log(q.shape[-2])) @ v


def over_queries(q, k, v):
    return jax.nn.softmax(q @ k.swapaxes(-1, -2), axis=-2) @ v


def by_sum(q, k, v):
    w = jax.nn.relu(q) @ jax.nn.relu(k).swapaxes(-1, -2) + 1e-6
    return (w / w.sum(-1, keepdims=True)) @ v


def attention(request):
    name, (b, h, t, e) = request["name"], request["shape"]
    keys = jax.random.split(jax.random.PRNGKey(0), 5)
    inputs = [jax.random.normal(key, (b, h, t, e)) for key in keys[:3]]
    if name == "alibi":
        inputs.append(2.0 ** -jnp.arange(1.0, h + 1))
    if name == "pair_bias":
        inputs.append(jax.random.normal(keys[3], (h, t, t)))
    learned = tuple(range(len(inputs)))
    if name == "documents":
        inputs.append(jnp.broadcast_to(jnp.arange(t) // 256, (b, t)))
    function = globals()[name]
    if not request["backward"]:
        run = jax.jit(function)
        return lambda: jax.block_until_ready(run(*inputs))
    cotangent = jax.random.normal(keys[4], (b, h, t, e))

    @jax.jit
    def both(cotangent, *inputs):
        fixed = inputs[len(learned):]
        out, back = jax.vjp(lambda *x: function(*x, *fixed), *inputs[:len(learned)])
        return out, back(cotangent)
    return lambda: jax.block_until_ready(both(cotangent, *inputs))


# ---- networks --------------------------------------------------------------------------------------------------------------------------
def linear(key, n, m):
    return {"w": jax.random.normal(key, (n, m)) / math.sqrt(n), "b": jnp.zeros(m)}


def apply(p, x):
    return x @ p["w"] + p["b"]


def cross_entropy(logits, label):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), label[..., None], -1).mean()


def normed(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * p["g"] + p["b"]


def gpt(vocabulary, context, width, heads, depth):
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 2 + 4 * depth))
    norm = lambda: {"g": jnp.ones(width), "b": jnp.zeros(width)}
    layer = lambda: {"ln_1": norm(), "qkv": linear(next(keys), width, 3 * width), "out": linear(next(keys), width, width),
                     "ln_2": norm(), "fc": linear(next(keys), width, 4 * width), "proj": linear(next(keys), 4 * width, width)}
    parameters = {"wte": 0.02 * jax.random.normal(next(keys), (vocabulary, width)),
                  "wpe": 0.02 * jax.random.normal(next(keys), (context, width)), "h": [layer() for _ in range(depth)], "ln_f": norm()}

    def loss(p, tokens, following):
        b, t = tokens.shape
        x = p["wte"][tokens] + p["wpe"][:t]
        for h in p["h"]:
            q, k, v = (y.reshape(b, t, heads, -1).swapaxes(1, 2) for y in jnp.split(apply(h["qkv"], normed(h["ln_1"], x)), 3, -1))
            x = x + apply(h["out"], causal(q, k, v).swapaxes(1, 2).reshape(b, t, width))
            x = x + apply(h["proj"], jax.nn.gelu(apply(h["fc"], normed(h["ln_2"], x)), approximate=False))
        return cross_entropy(normed(p["ln_f"], x) @ p["wte"].T, following)
    return parameters, loss


def attention_cnn():
    keys = jax.random.split(jax.random.PRNGKey(0), 6)
    parameters = {"conv": jax.random.normal(keys[0], (64, 3, 3, 3)) / 5.2, "bias": jnp.zeros((64, 1, 1)), "q": linear(keys[1], 64, 128),
                  "k": linear(keys[2], 64, 128), "v": linear(keys[3], 64, 128), "o": linear(keys[4], 128, 64), "head": linear(keys[5], 64, 10)}

    def loss(p, image, label):
        x = jax.lax.conv_general_dilated(image, p["conv"], (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW")) + p["bias"]
        x = jax.nn.relu(x).reshape(len(image), 64, -1).swapaxes(1, 2)
        w = jax.nn.softmax(apply(p["q"], x) @ apply(p["k"], x).swapaxes(1, 2), axis=1)
        return cross_entropy(apply(p["head"], jax.nn.relu(x + apply(p["o"], w @ apply(p["v"], x))).mean(1)), label)
    return parameters, loss


def adamw_step(p, m, v, count, g, rate=1e-3):
    count = count + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    scale_m, scale_v = 1 / (1 - 0.9 ** count), 1 / (1 - 0.999 ** count)
    p = jax.tree.map(lambda p, m, v: p - rate * (m * scale_m / (jnp.sqrt(v * scale_v) + 1e-8) + 0.01 * p), p, m, v)
    return p, m, v, count


def training(request):
    keys = jax.random.split(jax.random.PRNGKey(1), 2)
    if request["name"] == "attention_cnn":
        parameters, loss = attention_cnn()
        batch = jax.random.normal(keys[0], (request["batch"], 3, 32, 32)), jax.random.randint(keys[1], (request["batch"],), 0, 10)
    else:
        parameters, loss = gpt(*request["network"])
        shape = request["batch"], request["network"][1]
        batch = tuple(jax.random.randint(key, shape, 0, request["network"][0]) for key in keys)

    def step(p, m, v, count, *batch):
        value, g = jax.value_and_grad(loss)(p, *batch)
        return adamw_step(p, m, v, count, g), value

    run = jax.jit(step, donate_argnums=(0, 1, 2))
    state = [parameters, jax.tree.map(jnp.zeros_like, parameters), jax.tree.map(jnp.zeros_like, parameters), jnp.zeros(())]

    def once():
        state[:], value = run(*state, *batch)
        jax.block_until_ready(value)
    return once


# ---- products and what memory bounds ---------------------------------------------------------------------------------------------------
def product(request):
    m, n, k = request["shape"]
    keys = jax.random.split(jax.random.PRNGKey(0))
    a, b = jax.random.normal(keys[0], (m, k)), jax.random.normal(keys[1], (n, k))
    run = jax.jit(lambda a, b: a @ b.T)
    return lambda: jax.block_until_ready(run(a, b))


def rows(request):
    n, width = request["shape"]
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    leaves = [jax.random.normal(keys[0], (n, width)), jax.random.normal(keys[1], (n, width)), jnp.ones(width), jnp.zeros(width)]
    cotangent = jax.random.normal(keys[2], (n, width))

    def block(x, residual, gain, shift):
        return jax.nn.gelu(normed({"g": gain, "b": shift}, x + residual), approximate=False) + residual

    @jax.jit
    def both(cotangent, *leaves):
        out, back = jax.vjp(block, *leaves)
        return out, back(cotangent)
    return lambda: jax.block_until_ready(both(cotangent, *leaves))


def adamw(request):
    g = 1e-3 * jax.random.normal(jax.random.PRNGKey(0), (request["count"],))
    state = [20 * g, jnp.zeros_like(g), jnp.zeros_like(g), jnp.zeros(())]
    run = jax.jit(adamw_step, donate_argnums=(0, 1, 2))

    def once():
        state[:] = run(*state, g)
        jax.block_until_ready(state[0])
    return once


def prepare(request):
    return {"attention": attention, "training": training, "product": product, "rows": rows, "adamw": adamw}[request["case"]](request)


if __name__ == "__main__":
    serve(prepare, {"version": jax.__version__})
