"""Writes library.heed, small programs over the standard library, and library.txt, their inputs and what PyTorch makes of them.

Run: python make_golden.py (needs torch). The files it writes are committed; tests read only those.
"""
import math
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
HERE = pathlib.Path(__file__).parent
programs, values = [], []


def rounded(tensor):
    """Inputs are exact in f32, so that both sides compute with the same numbers."""
    return tensor.float().double() if tensor.is_floating_point() else tensor


def line(kind, name, tensor):
    tensor = tensor.detach()
    dtype = "f32" if tensor.is_floating_point() else "i32"
    digits = 9 if kind == "input" else 7
    numbers = " ".join(f"{v:.{digits}g}" if dtype == "f32" else str(v) for v in tensor.reshape(-1).tolist())
    return f"{kind} {name} {dtype} [{','.join(map(str, tensor.shape))}] {numbers}"


def case(name, source, inputs, outputs):
    """A program and its numbers: inputs by name (parameters, too), outputs in order."""
    programs.append(source.strip().replace("NAME", name))
    values.append(f"case {name}")
    values.extend(line("input", k, v) for k, v in inputs.items())
    values.extend(line("output", f"{k}", v) for k, v in enumerate(outputs))


def weigh(y):
    """A scalar that depends on every element differently."""
    return (y * torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)).sum()


# `weighed(y)` is the same in heed.
programs.append("""# The standard library at small sizes. Written by make_golden.py; library.txt holds the inputs and what PyTorch makes of them.
import nn

# A scalar that depends on every element differently.
fn weighed(y) {
  flat = reshape(y, [-1])
  return sum(flat * cos(f32(iota(shape(flat)[0]))))
}""")


def function(name, signature, body, torch_function, by=None, **inputs):
    """`signature` has the inputs' types; `body` is an expression of y; derivatives by `by` (all floating inputs)."""
    inputs = {k: rounded(v) for k, v in inputs.items()}
    by = [k for k, v in inputs.items() if v.is_floating_point()] if by is None else by
    for k in by:
        inputs[k].requires_grad_(True)
    y = torch_function(*inputs.values())
    gradients = torch.autograd.grad(weigh(y), [inputs[k] for k in by])
    shape = lambda t: f"f32[{', '.join(map(str, t.shape))}]" if t.dim() else "f32"
    results = ", ".join([f"y: {shape(y)}"] + [f"d{k}: {shape(inputs[k])}" for k in by])
    grads = "".join(f"  d{k} = grad(weighed(y), {k})\n" for k in by)
    source = f"fn NAME({signature}) -> ({results}) {{\n  y = {body}\n{grads}  return {', '.join(['y'] + ['d' + k for k in by])}\n}}"
    case(name, source, inputs, [y, *gradients])


ACTIVATIONS = {
    "relu(x)": F.relu,
    "relu6(x)": F.relu6,
    "leaky_relu(x)": F.leaky_relu,
    "elu(x, alpha = 1.5)": lambda x: F.elu(x, 1.5),
    "selu(x)": F.selu,
    "sigmoid(x)": torch.sigmoid,
    "log_sigmoid(x)": F.logsigmoid,
    "softplus(x)": F.softplus,
    "silu(x)": F.silu,
    "mish(x)": F.mish,
    "gelu(x)": lambda x: F.gelu(x, approximate="tanh"),
    "gelu(x, exact = true)": F.gelu,
    "hard_sigmoid(x)": F.hardsigmoid,
    "hard_swish(x)": F.hardswish,
    "hard_tanh(x)": F.hardtanh,
    "softsign(x)": F.softsign,
    "glu(x)": F.glu,
}
for text, torch_function in ACTIVATIONS.items():
    x = torch.tensor([-95.0, -20.0, -4.1, -2.5, -1.3, -0.6, -0.01, 0.01, 0.4, 1.7, 2.9, 5.5, 7.0, 25.0, 90.0, 0.25])
    function("activation_" + text.split("(")[0] + ("_exact" if "exact" in text else ""), "x: f32[16]", text, torch_function, x=x)

x = 3 * torch.randn(3, 5)
norm = lambda x: (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)
for text, torch_function in {
    "softmax(x)": lambda x: F.softmax(x, -1),
    "softmax(x, axis = 0)": lambda x: F.softmax(x, 0),
    "log_softmax(x)": lambda x: F.log_softmax(x, -1),
    "logsumexp(x)": lambda x: torch.logsumexp(x, -1),
    "variance(x, axis = 1, correction = 1)": lambda x: x.var(1),
    "layer_norm(x)": norm,
    "rms_norm(x)": lambda x: F.rms_norm(x, [5], eps=1e-6),
}.items():
    function("normal_" + text.split("(")[0] + ("_first" if "axis = 0" in text else ""), "x: f32[3, 5]", text, torch_function, x=x)

function("normal_attention", "q: f32[2, 3, 4], k: f32[2, 3, 4], v: f32[2, 3, 5]", "attention(q, k, v, causal = true)",
         lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), q=torch.randn(2, 3, 4), k=torch.randn(2, 3, 4), v=torch.randn(2, 3, 5))

label = torch.tensor([[1, 0], [4, -1], [2, 2]], dtype=torch.int32)
logits = 2 * torch.randn(3, 2, 5)
entropy = lambda logits, label, **k: F.cross_entropy(logits.reshape(-1, 5), label.reshape(-1).long(), reduction="none", **k).reshape(3, 2)
types = "logits: f32[3, 2, 5], label: i32[3, 2]"
function("loss_cross_entropy", types, "cross_entropy(logits, label)", entropy, logits=logits, label=label.clamp(min=0))
function("loss_cross_entropy_smooth", types, "cross_entropy(logits, label, label_smoothing = 0.1)",
         lambda logits, label: entropy(logits, label, label_smoothing=0.1), logits=logits, label=label.clamp(min=0))
function("loss_cross_entropy_ignore", types, "cross_entropy(logits, label, ignore = -1)",
         lambda logits, label: entropy(logits, label, ignore_index=-1), logits=logits, label=label)
target = torch.rand(3, 4)
pair = "prediction: f32[3, 4], target: f32[3, 4]"
function("loss_binary_cross_entropy", pair, "binary_cross_entropy(prediction, target)",
         lambda prediction, target: F.binary_cross_entropy_with_logits(prediction, target, reduction="none"), by=["prediction"],
         prediction=8 * torch.randn(3, 4), target=target)
distribution = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.0, 0.0]])
function("loss_kl", pair, "kl(log_softmax(prediction), target)",
         lambda prediction, target: F.kl_div(F.log_softmax(prediction, -1), target, reduction="none").sum(-1), by=["prediction"],
         prediction=torch.randn(3, 4), target=distribution)
function("loss_mse", pair, "mse(prediction, target)", F.mse_loss, prediction=torch.randn(3, 4), target=target)
function("loss_mae", pair, "mae(prediction, target)", F.l1_loss, prediction=torch.randn(3, 4), target=target)
function("loss_huber", pair, "huber(prediction, target, delta = 0.7)", lambda prediction, target: F.huber_loss(prediction, target, delta=0.7),
         prediction=2 * torch.randn(3, 4), target=target)


def image(rows, columns, channels=4, batch=2):
    return torch.randn(batch, channels, rows, columns)


function("pool_max2d", "x: f32[2, 4, 7, 6]", "nn.max_pool2d(x, 3, stride = 2, padding = 1)", lambda x: F.max_pool2d(x, 3, 2, 1), x=image(7, 6))
function("pool_max2d_plain", "x: f32[2, 4, 7, 6]", "nn.max_pool2d(x, 2)", lambda x: F.max_pool2d(x, 2), x=image(7, 6))
function("pool_average2d", "x: f32[2, 4, 7, 6]", "nn.avg_pool2d(x, [2, 3], stride = [2, 1], padding = [1, 0])",
         lambda x: F.avg_pool2d(x, (2, 3), (2, 1), (1, 0)), x=image(7, 6))
function("pool_max1d", "x: f32[2, 4, 7]", "nn.max_pool1d(x, 2)", lambda x: F.max_pool1d(x, 2), x=torch.randn(2, 4, 7))
function("pool_average1d", "x: f32[2, 4, 7]", "nn.avg_pool1d(x, 3, stride = 2, padding = 1)", lambda x: F.avg_pool1d(x, 3, 2, 1), x=torch.randn(2, 4, 7))


def layer(name, makers, signature, call, torch_function, parameters, results=None, **inputs):
    """A model with layers; `parameters` by path, in heed's layout; derivatives by every floating input and parameter."""
    inputs = {k: rounded(v) for k, v in inputs.items()}
    parameters = {k: rounded(0.5 * v) for k, v in parameters.items()}
    floating = [k for k, v in inputs.items() if v.is_floating_point()]
    everything = {**inputs, **parameters}
    by = floating + list(parameters)
    for k in by:
        everything[k].requires_grad_(True)
    y = torch_function(everything)
    gradients = torch.autograd.grad(weigh(y), [everything[k] for k in by])
    shape = lambda t: f"f32[{', '.join(map(str, t.shape))}]"
    names = ["d_" + k.replace(".", "_") for k in by]
    types = ", ".join([f"y: {shape(y)}"] + [f"{n}: {shape(everything[k])}" for n, k in zip(names, by)])
    body = "".join(f"  layer {m}\n" for m in makers) + f"  {call}\n"
    body += "".join(f"  {n} = grad(weighed(y), {k})\n" for n, k in zip(names, by))
    case(name, f"model NAME({signature}) -> ({types}) {{\n{body}  return y, {', '.join(names)}\n}}", everything, [y, *gradients])


def linear(prefix, inside, outside):
    return {f"{prefix}.weight": torch.randn(inside, outside), f"{prefix}.bias": torch.randn(outside)}


def apply_linear(p, prefix, x):
    return x @ p[f"{prefix}.weight"] + p[f"{prefix}.bias"]


layer("layer_linear", ["l = nn.linear(4, 3)"], "x: f32[2, 5, 4]", "y = l(x)", lambda p: apply_linear(p, "l", p["x"]), linear("l", 4, 3), x=torch.randn(2, 5, 4))
layer("layer_embedding", ["l = nn.embedding(6, 3)"], "ids: i32[2, 4]", "y = l(ids)", lambda p: F.embedding(p["ids"].long(), p["l.table"]),
      {"l.table": torch.randn(6, 3)}, ids=torch.tensor([[0, 5, 5, 1], [2, 0, 3, 5]], dtype=torch.int32))

for name, settings, arguments, shape in [
    ("plain", "kernel = 3", {}, (4, 4, 3, 3)),
    ("padded", "kernel = 3, padding = 1", dict(padding=1), (4, 4, 3, 3)),
    ("strided", "kernel = 3, stride = 2, padding = 1", dict(stride=2, padding=1), (4, 4, 3, 3)),
    ("dilated", "kernel = [3, 2], dilation = 2, padding = [2, 1]", dict(dilation=2, padding=(2, 1)), (4, 4, 3, 2)),
    ("grouped", "kernel = 3, groups = 2, stride = [2, 1]", dict(groups=2, stride=(2, 1)), (4, 2, 3, 3)),
    ("depthwise", "kernel = 3, groups = 4, padding = 1", dict(groups=4, padding=1), (4, 1, 3, 3)),
]:
    layer(f"layer_conv2d_{name}", [f"l = nn.conv2d(4, 4, {settings})"], "x: f32[2, 4, 6, 7]", "y = l(x)",
          lambda p, arguments=arguments: F.conv2d(p["x"], p["l.weight"], p["l.bias"], **arguments),
          {"l.weight": torch.randn(*shape), "l.bias": torch.randn(4)}, x=image(6, 7))
layer("layer_conv1d", ["l = nn.conv1d(4, 6, kernel = 3, stride = 2, padding = 2, dilation = 2, groups = 2)"], "x: f32[2, 4, 9]", "y = l(x)",
      lambda p: F.conv1d(p["x"], p["l.weight"], p["l.bias"], stride=2, padding=2, dilation=2, groups=2),
      {"l.weight": torch.randn(6, 2, 3), "l.bias": torch.randn(6)}, x=torch.randn(2, 4, 9))

scales = lambda n: {"l.weight": 2 + torch.rand(n), "l.bias": torch.randn(n)}
layer("layer_layer_norm", ["l = nn.layer_norm(5)"], "x: f32[2, 3, 5]", "y = l(x)", lambda p: F.layer_norm(p["x"], [5], p["l.weight"], p["l.bias"]), scales(5),
      x=torch.randn(2, 3, 5))
layer("layer_rms_norm", ["l = nn.rms_norm(5)"], "x: f32[2, 3, 5]", "y = l(x)", lambda p: F.rms_norm(p["x"], [5], p["l.weight"], eps=1e-6),
      {"l.weight": 2 + torch.rand(5)}, x=torch.randn(2, 3, 5))
layer("layer_group_norm", ["l = nn.group_norm(2, 4)"], "x: f32[2, 4, 3, 2]", "y = l(x)", lambda p: F.group_norm(p["x"], 2, p["l.weight"], p["l.bias"]), scales(4),
      x=torch.randn(2, 4, 3, 2))


def split_heads(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def merged(x):
    return x.transpose(1, 2).flatten(2)


def self_attention(p, prefix, x, heads, causal):
    q, k, v = (split_heads(t, heads) for t in apply_linear(p, f"{prefix}.qkv", x).chunk(3, -1))
    return apply_linear(p, f"{prefix}.out", merged(F.scaled_dot_product_attention(q, k, v, is_causal=causal)))


def cross_attention(p, prefix, x, memory, heads):
    q = split_heads(apply_linear(p, f"{prefix}.query", x), heads)
    k, v = (split_heads(apply_linear(p, f"{prefix}.{n}", memory), heads) for n in ("key", "value"))
    return apply_linear(p, f"{prefix}.out", merged(F.scaled_dot_product_attention(q, k, v)))


def attention_parameters(prefix, width):
    return {**linear(f"{prefix}.qkv", width, 3 * width), **linear(f"{prefix}.out", width, width)}


def cross_parameters(prefix, width, memory):
    return {**linear(f"{prefix}.query", width, width), **linear(f"{prefix}.key", memory, width), **linear(f"{prefix}.value", memory, width),
            **linear(f"{prefix}.out", width, width)}


def norm_parameters(prefix, width):
    return {f"{prefix}.weight": 2 + torch.rand(width), f"{prefix}.bias": torch.randn(width)}


def normed(p, prefix, x):
    return F.layer_norm(x, x.shape[-1:], p[f"{prefix}.weight"], p[f"{prefix}.bias"])


def feed_forward(p, x):
    return apply_linear(p, "l.proj", F.gelu(apply_linear(p, "l.fc", x), approximate="tanh"))


for causal in (False, True):
    layer("layer_attention" + "_causal" * causal, [f"l = nn.attention(4, heads = 2, causal = {str(causal).lower()})"], "x: f32[2, 3, 4]", "y = l(x)",
          lambda p, causal=causal: self_attention(p, "l", p["x"], 2, causal), attention_parameters("l", 4), x=torch.randn(2, 3, 4))
layer("layer_cross_attention", ["l = nn.cross_attention(4, heads = 2, memory_width = 6)"], "x: f32[2, 3, 4], memory: f32[2, 5, 6]", "y = l(x, memory)",
      lambda p: cross_attention(p, "l", p["x"], p["memory"], 2), cross_parameters("l", 4, 6), x=torch.randn(2, 3, 4), memory=torch.randn(2, 5, 6))


def encoder(p):
    x = p["x"] + self_attention(p, "l.attn", normed(p, "l.ln_1", p["x"]), 2, True)
    return x + feed_forward(p, normed(p, "l.ln_2", x))


def decoder(p):
    x = p["x"] + self_attention(p, "l.attn", normed(p, "l.ln_1", p["x"]), 2, True)
    x = x + cross_attention(p, "l.cross", normed(p, "l.ln_2", x), p["memory"], 2)
    return x + feed_forward(p, normed(p, "l.ln_3", x))


layer("layer_encoder_block", ["l = nn.encoder_block(4, heads = 2, hidden = 6, causal = true)"], "x: f32[2, 3, 4]", "y = l(x)", encoder,
      {**norm_parameters("l.ln_1", 4), **attention_parameters("l.attn", 4), **norm_parameters("l.ln_2", 4), **linear("l.fc", 4, 6), **linear("l.proj", 6, 4)},
      x=torch.randn(2, 3, 4))
layer("layer_decoder_block", ["l = nn.decoder_block(4, heads = 2, hidden = 6)"], "x: f32[2, 3, 4], memory: f32[2, 5, 4]", "y = l(x, memory)", decoder,
      {**norm_parameters("l.ln_1", 4), **attention_parameters("l.attn", 4), **norm_parameters("l.ln_2", 4), **cross_parameters("l.cross", 4, 4),
       **norm_parameters("l.ln_3", 4), **linear("l.fc", 4, 6), **linear("l.proj", 6, 4)}, x=torch.randn(2, 3, 4), memory=torch.randn(2, 5, 4))


def recurrent(kind, p):
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](3, 2, batch_first=True)
    zeros = torch.zeros_like(p["l.bias"])
    weights = {"weight_ih_l0": p["l.weight"].T, "weight_hh_l0": p["l.recurrent"].T, "bias_ih_l0": p["l.bias"], "bias_hh_l0": p.get("l.recurrent_bias", zeros)}
    y, state = torch.func.functional_call(module, weights, (p["x"],))
    last = torch.cat(state, 0) if kind == "lstm" else state
    return torch.cat([y, last.transpose(0, 1)], 1)


layer("layer_lstm", ["l = nn.lstm(3, 2)"], "x: f32[2, 4, 3]", "ys, h, c = l(x)\n  y = concat([ys, h[:, None, :], c[:, None, :]], axis = 1)",
      lambda p: recurrent("lstm", p), {"l.weight": torch.randn(3, 8), "l.recurrent": torch.randn(2, 8), "l.bias": torch.randn(8)}, x=torch.randn(2, 4, 3))
layer("layer_gru", ["l = nn.gru(3, 2)"], "x: f32[2, 4, 3]", "ys, h = l(x)\n  y = concat([ys, h[:, None, :]], axis = 1)",
      lambda p: recurrent("gru", p),
      {"l.weight": torch.randn(3, 6), "l.recurrent": torch.randn(2, 6), "l.bias": torch.randn(6), "l.recurrent_bias": torch.randn(6)}, x=torch.randn(2, 4, 3))

# Batch norm: in training by the batch, with what becomes of the running statistics; else by those.
x, weight, bias, mean, variance = (rounded(t) for t in (torch.randn(3, 4, 2, 2), 1 + torch.rand(4), torch.randn(4), torch.randn(4), 1 + torch.rand(4)))
given = {"x": x, "l.weight": weight, "l.bias": bias, "l.running_mean": mean, "l.running_variance": variance}
types = "model NAME(x: f32[3, 4, 2, 2]) -> (y: f32[3, 4, 2, 2]) {\n  layer l = nn.batch_norm(4)\n  return l(x)\n}"
after = (mean.clone(), variance.clone())
case("training_batch_norm", types, given, [F.batch_norm(x, *after, weight, bias, training=True), *after])
case("layer_batch_norm", types, given, [F.batch_norm(x, mean, variance, weight, bias)])

# Optimizers: five steps on one parameter whose loss is sum(w * w * x) / 2.
x, start = rounded(1 + torch.rand(5)), rounded(torch.randn(5))
progress = lambda t: min(max((t - 2) / 3, 0), 1)
SCHEDULES = {
    "cosine": lambda t: min(t / 2, 1) * 0.05 * (0.5 + 0.5 * math.cos(math.pi * progress(t))),
    "linear": lambda t: min(t / 2, 1) * (0.05 + (0.01 - 0.05) * progress(t)),
    "step": lambda t: 0.05 * 0.5 ** ((t - 1) // 2),
    "constant": lambda t: min(t / 3, 1) * 0.05,
}
for name, text, make, options in [
    ("sgd", "sgd(lr = 0.1)", torch.optim.SGD, dict(lr=0.1)),
    ("momentum", "sgd(lr = 0.1, momentum = 0.9, weight_decay = 0.1)", torch.optim.SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.1)),
    ("nesterov", "sgd(lr = 0.1, momentum = 0.9, nesterov = true)", torch.optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True)),
    ("adam", "adam(lr = 0.1, weight_decay = 0.1)", torch.optim.Adam, dict(lr=0.1, weight_decay=0.1)),
    ("adamw", "adamw(lr = 0.1, weight_decay = 0.1, beta2 = 0.99)", torch.optim.AdamW, dict(lr=0.1, weight_decay=0.1, betas=(0.9, 0.99))),
    ("rmsprop", "rmsprop(lr = 0.1, momentum = 0.5)", torch.optim.RMSprop, dict(lr=0.1, momentum=0.5)),
    ("adagrad", "adagrad(lr = 0.1)", torch.optim.Adagrad, dict(lr=0.1)),
    ("clipped", "sgd(lr = 0.1, clip = 0.5)", torch.optim.SGD, dict(lr=0.1)),
    ("cosine", "sgd(lr = cosine(0.05, warmup = 2, steps = 5))", torch.optim.SGD, dict(lr=0.05)),
    ("linear", "sgd(lr = linear(0.05, warmup = 2, steps = 5, final = 0.01))", torch.optim.SGD, dict(lr=0.05)),
    ("step", "sgd(lr = step_decay(0.05, every = 2, factor = 0.5))", torch.optim.SGD, dict(lr=0.05)),
    ("constant", "sgd(lr = constant(0.05, warmup = 3))", torch.optim.SGD, dict(lr=0.05)),
]:
    w = start.clone().requires_grad_(True)
    optimizer = make([w], **options)
    for step in range(1, 6):
        optimizer.zero_grad()
        (0.5 * (w * w * x).sum()).backward()
        if name == "clipped":
            torch.nn.utils.clip_grad_norm_([w], 0.5)
        if name in SCHEDULES:
            optimizer.param_groups[0]["lr"] = SCHEDULES[name](step)
        optimizer.step()
    case(f"optimizer_{name}", f"""
model NAME(x: f32[5]) -> (loss: f32) {{
  param w: f32[5] = zeros()
  return 0.5 * sum(w * w * x)
}}

train NAME {{
  minimize loss
  optimizer {text}
  data train = csv("none.csv")
  batch 1
  steps 5
}}""", {"x": x, "w": start}, [w])

(HERE / "library.heed").write_text("\n\n".join(programs) + "\n")
(HERE / "library.txt").write_text("\n".join(values) + "\n")
