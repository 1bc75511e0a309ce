"""The Markdown of docs/performance.md from the results of measure.py."""
NAMES = {"eager": "PyTorch eager", "compile": "torch.compile", "sdpa": "PyTorch sdpa", "xla": "JAX (XLA)"}


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


SECTIONS = [
    ("attention", "Attention", attention,
     "Batch 1, 8 heads, f32; `examples/attention_variants.heed`. Backward takes the gradients of every floating input from a given cotangent of "
     "the result."),
    ("training", "Training steps", compared,
     "gpt: 10.7 M parameters, 8 x 256 bytes; gpt2: its network at 124 M parameters, 1 x 1024 tokens; attention_cnn: 32 images of 32 x 32. heed's "
     "gpt step also clips the gradient's norm and has a schedule, which the peers' programs leave out."),
    ("products", "Products", products, "a of m x k times the transpose of b of n x k, f32."),
    ("rows", "Bound by memory", compared, ""),
    ("compiling", "Compiling", compiling,
     "From nothing / from the cache that an earlier process left, in a process of its own. heed: passes and machine code. Peers: the first step "
     "less a later one, without the import."),
    ("memory", "Memory", memory, "The most a process had in memory, its libraries included."),
    ("start", "Start", start, "A whole process."),
]


def markdown(results):
    machine = results["machine"]
    peers = ", ".join(f"{name} {version}" for name, version in sorted(machine["peers"].items()))
    text = "# Performance\n"
    text += "Written by `bench/measure.py`; do not edit. Rows in which a peer is faster have their ratio in bold.\n\n"
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
