"""The tables of a footprint.json, in Markdown; nothing that the JSON does not have."""

SIZES = [("GiB", 1 << 30), ("MiB", 1 << 20)]


def size(count):
    """A budget as people write it: in whole GB where it is that, else MiB or GiB."""
    if count % 10**9 == 0:
        return f"{count // 10**9} GB"
    for name, unit in SIZES:
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} B"


def parameters(count):
    for name, unit in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return str(count)


def mark(row):
    """* measured as predicted, ! measured and not so."""
    measured = row.get("measured")
    if measured is None:
        return ""
    return "*" if measured["equal"] else "!"


def matrix(cells, ranks, rows, columns):
    """`cells`: (row, column, ranks) -> text."""
    lines = ["| " + " | ".join([*columns, *(f"{n} rank{'s' if n > 1 else ''}" for n in ranks)])
             + " |", "|" + "---|" * (len(columns) + len(ranks))]
    for row in rows:
        lines.append("| " + " | ".join([*map(str, row), *(cells.get((row, n), "") for n in ranks)])
                     + " |")
    return lines


def largest_table(rows):
    cells = {}
    for row in rows:
        found = row["largest"]
        cells[(size(row["budget"]), row["stage"], row["tier"]), row["ranks"]] = \
            parameters(found["parameters"]) + mark(row) if found else "none"
    order = list(dict.fromkeys(key for key, _ in cells))
    return matrix(cells, sorted({row["ranks"] for row in rows}), order,
                  ["budget", "stage", "rests on"])


def presets_table(rows):
    cells = {((row["model"], row["stage"]), row["ranks"]):
             size(row["predicted"]["peak"]) + mark(row) for row in rows}
    order = list(dict.fromkeys(key for key, _ in cells))
    return matrix(cells, sorted({row["ranks"] for row in rows}), order, ["model", "stage"])


def summary(record):
    """How many of what was run came out as it should."""
    rows = [*record["rows"], *record["presets"]]
    measured = [row["measured"] for row in rows if row.get("measured")]
    tried = [row["refused"] for row in rows if row.get("refused") is not None]
    return (f"{len(measured)} of these were trained for a step: in {sum(m['equal'] for m in measured)} "
            f"every byte in every class is the predicted one. The next larger model was tried with "
            f"{len(tried)} of the budgets: it was refused with {sum(tried)}.")


def document(record):
    machine = record["machine"]
    memory = [row for row in record["rows"] if row["of"] == "memory"]
    device = [row for row in record["rows"] if row["of"] == "device"]
    lines = [f"# What fits — {record['date'][:10]}", "",
             f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {machine['compiler']}; "
             f"commit {record['commit'][:12]}. bf16 parameters and gradients, fp32 master and AdamW "
             "states: 16 bytes a parameter; nothing gathered ahead. Models have k heads of 64 "
             "channels, k layers or a few more, vocabulary 256 and context 64, so that the next "
             "larger one is a few per cent larger. Activations are not in it.", "",
             f"{summary(record)} Those carry a *; the others are what `zero plan` says.", ""]
    if memory:
        lines += ["## In all of a rank's memory", "",
                  "`--memory-budget`: state and buffers, where it computes and in host memory "
                  "together, so that resting on `cpu` makes no room for anything. On `nvme` rests "
                  "what a stage shards, and disks are as large as it takes.", "",
                  *largest_table(memory), ""]
    if device:
        lines += ["## In a GPU's memory alone", "",
                  "Predicted for `--device cuda`; host memory and disks as large as it takes: 16 bytes a "
                  "parameter at most, all ranks together at stage 3.", "",
                  *largest_table(device), ""]
    if record["presets"]:
        lines += ["## What a model takes", "", "Bytes of the rank that holds most, nothing offloaded.",
                  "", *presets_table(record["presets"]), ""]
    return "\n".join(lines)
