"""The Markdown of docs/performance.md from the results of measure.py."""
NAMES = {"eager": "PyTorch eager", "compile": "torch.compile", "sdpa": "PyTorch sdpa", "xla": "JAX (XLA)", "cuda": "PyTorch on the GPU"}


def seconds(value):
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms" if value >= 1e-3 else f"{value * 1e6:.0f} µs"


def against(row, backend):
    return next((each for each in row["against"] if each["backend"] == backend), {})


def peers_of(rows):
    return [name for name in NAMES if any(against(row, name) for row in rows)]


def table(header, lines):
    text = "| " + " | ".join(header) + " |\n|" + "---|" * len(header) + "\n"
    return text + "".join("| " + " | ".join(line) + " |\n" for line in lines) + "\n"


def ratio(value):
    return f"{value:.2f}" if value >= 1 else f"**{value:.2f}**"


def compared(rows, title="case"):
    """heed's time, each peer's, and how much faster heed is than the best of them."""
    names = peers_of(rows)
    lines = []
    for row in rows:
        line = [row.get("title", row["case"]), seconds(row["heed_s"])]
        for name in names:
            each = against(row, name)
            line.append(seconds(each["s"]) if "s" in each else "cannot" if "error" in each else "")
        best = min((each for each in row["against"] if "ratio" in each), key=lambda each: each["ratio"], default=None)
        line.append(f"{ratio(best['ratio'])} ({best['least_ratio']:.2f} to {best['most_ratio']:.2f})" if best else "")
        lines.append(line)
    return table([title, "heed", *(NAMES[name] for name in names), "times as fast as the best peer"], lines)


def attention(rows):
    text = ""
    for key in sorted({(row["length"], row["width"], row["backward"]) for row in rows}):
        chosen = [row | {"title": row["name"]} for row in rows if (row["length"], row["width"], row["backward"]) == key]
        length, width, backward = key
        text += f"### T {length}, head width {width}, {'forward and backward' if backward else 'forward'}\n\n" + compared(chosen, "attention")
    return text


def products(rows):
    names = peers_of(rows)
    total, lines = 1.0, []
    for row in rows:
        speeds = [f"{row['gflop'] / row['heed_s']:.0f}"]
        speeds += [f"{row['gflop'] / against(row, name)['s']:.0f}" if "s" in against(row, name) else "" for name in names]
        best = min((each["ratio"] for each in row["against"] if "ratio" in each), default=None)
        total *= best or 1
        lines.append([row["case"], *speeds, ratio(best) if best else ""])
    mean = total ** (1 / len(rows))
    return table(["m x n x k", "heed, GFLOP/s", *(NAMES[name] for name in names), "times as fast as the best peer"], lines) + \
        (f"Geometric mean of the ratios: {mean:.2f}.\n\n" if names else "")


def side_by_side(rows, heading, heed, own, theirs):
    """A row a case: `own(row)` for heed, `theirs(each)` for each peer that was asked."""
    names = peers_of(rows)
    lines = []
    for row in rows:
        found = [against(row, name) for name in names]
        lines.append([row["case"], own(row), *(theirs(each) if each else "" for each in found)])
    return table([heading, heed, *(NAMES[name] for name in names)], lines)


def compiling(rows):
    def both(each):
        return f"{seconds(each['cold_s'])} / {seconds(each['warm_s'])}"
    return side_by_side(rows, "training step", "heed", both, both)


def memory(rows):
    return side_by_side(rows, "case", "heed, MiB", lambda row: f"{row['heed_mib']:.0f}",
                        lambda each: f"{each['mib']:.0f}" if "mib" in each else "cannot")


def start(rows):
    return table(["command", "time"], [[f"`{row['case']}`", seconds(row["s"])] for row in rows])


# Of published kernels, TFLOP/s in bf16, from their papers and release notes: fractions of one GPU compare with no row of another one.
PUBLISHED = """\
Published for head width 128 on an H100 or H200: forward FlashAttention-2 335 to 370, Triton 380 to 395, FlashAttention-3 521 to 648; forward,
causal, 2k to 16k positions, cuDNN on an H200 484, 591, 644, 673; backward alone, causal, the same 370, 474, 541, 579. Products: cuBLAS in bf16 770 to 800
on an H200."""


def speed(row, taken):
    return f"{row['tflop'] / taken:.0f}"


def gpu_products(rows):
    lines = []
    for row in rows:
        peer = against(row, "cuda")
        lines.append([row["case"], speed(row, row["heed_s"]), f"{row['peak_share']:.2f}", speed(row, peer["s"]) if "s" in peer else "",
                      ratio(peer["ratio"]) if "ratio" in peer else ""])
    return table(["m x n x k", "heed, TFLOP/s", "of the nominal peak", "PyTorch (cuBLAS)", "times as fast"], lines)


def gpu_attention(rows):
    """Forward; the backward pass alone is both passes less the forward one, with 5 products for 2."""
    forward = {(row["name"], row["length"], row["width"]): row for row in rows if not row["backward"]}
    both = {(row["name"], row["length"], row["width"]): row for row in rows if row["backward"]}

    def speeds(key, taken):
        ahead, all_of_it = (taken(each[key]) if key in each else None for each in (forward, both))
        backward = forward[key]["tflop"] * 2.5 / (all_of_it - ahead) if ahead and all_of_it and all_of_it > ahead else None
        return [speed(forward[key], ahead) if ahead else "", f"{backward:.0f}" if backward else ""]

    lines = [[f"{name}, T {length}, width {width}", *speeds((name, length, width), lambda row: row["heed_s"]),
              *speeds((name, length, width), lambda row: against(row, "cuda").get("s"))] for name, length, width in forward]
    return table(["attention", "heed, TFLOP/s: forward", "backward", "PyTorch sdpa: forward", "backward"], lines)


SECTIONS = [
    ("attention", "Attention", attention,
     "Batch 1, 8 heads, f32; `examples/attention_variants.heed`. Backward takes the gradients of every floating input from a given cotangent of "
     "the result."),
    ("training", "Training steps", compared,
     "gpt: 10.7 M parameters, 8 x 256 bytes; gpt2: its network at 124 M parameters, 1 x 1024 tokens; attention_cnn: 32 images of 32 x 32. heed's "
     "gpt step also clips the gradient's norm and has a schedule, which the peers' programs leave out."),
    ("products", "Products", products, "a of m x k times the transpose of b of n x k, f32."),
    ("inference", "Few rows", compared,
     "A model that runs and does not train: linear layers of 768 x 3072 and 3072 x 768 with gelu between them. heed keeps the weights packed "
     "from run to run, in bf16 rounded, too; PyTorch's weights are bf16 there."),
    ("rows", "Bound by memory", compared, ""),
    ("compiling", "Compiling", compiling,
     "From nothing / from the cache that an earlier process left, in a process of its own. heed: passes and machine code. Peers: the first step "
     "less a later one, without the import."),
    ("memory", "Memory", memory, "The most a process had in memory, its libraries included."),
    ("start", "Start", start, "A whole process."),
    ("gpu products", "Products on a GPU", gpu_products,
     "a of m x k times the transpose of b of n x k, by the GPU's own clock, with empty caches; arrays in bf16, or f32. "
     "The nominal peak is what `heed devices` tells."),
    ("gpu attention", "Attention on a GPU", gpu_attention,
     "bf16, rows of T positions, 16,384 in all, heads of 2048 values in all; causal ones count half of the operations. " + PUBLISHED),
]


def markdown(results):
    machine = results["machine"]
    peers = ", ".join(f"{name} {version}" for name, version in sorted(machine["peers"].items()))
    text = "# Performance\n"
    text += "Written by `bench/measure.py`; do not edit. Rows in which a peer is faster have their ratio in bold.\n\n"
    text += f"{machine['gpu']}; " if "gpu" in machine else ""
    text += f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; {machine['heed']}"
    text += f" at {machine['commit']}" if machine["commit"] else ""
    text += f"; {peers}; {machine['threads']} threads, denormals flushed.\n\n" if peers else ".\n\n"
    text += ("Times are medians. A ratio is the median of those of some rounds, in each of which heed and the peers were measured in turn; in\n"
             "brackets the least and the largest. The machine is a shared one: absolute times of different rows need not compare. An\n"
             "empty field was not measured.\n\n")
    for part, title, section, introduction in SECTIONS:
        rows = [row for row in results["rows"] if row["part"] == part]
        if rows:
            text += f"## {title}\n" + (introduction + "\n\n" if introduction else "\n") + section(rows)
    return text.rstrip("\n") + "\n"
