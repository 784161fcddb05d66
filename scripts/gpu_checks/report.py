"""The table of a gpu_check.json, and whether anything in it failed."""

from collections import Counter


def failures(check):
    """Names of what failed: tests, sanitizers, digests, programs. A bar that is not met is a
    number to look at, no failure."""
    names = []
    for part, found in check["parts"].items():
        if found.get("trouble"):
            names.append(f"{part}: {found['trouble']}")
        names += [f"{part}: {label(row)}: {row.get('trouble') or ', '.join(row.get('failures', []))}"
                  for row in found["results"] if row["state"] == "failed"]
    return names


def label(row):
    return f"{row['tool']} {row['name']}" if "tool" in row else row["name"]


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def number(value):
    if value is None:
        return "not measured"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def remark(row):
    """What is worth saying of a result in one cell."""
    said = []
    if "passed" in row:
        said.append(f"{row['passed']} passed")
    if row.get("failures") or ("skipped" in row and row["failed"]):
        said.append(f"{row['failed']} failed ({', '.join(row['failures'])})"
                    if row["failures"] else f"{row['failed']} failed")
    if row.get("skipped"):
        said.append(f"{len(row['skipped'])} skipped")
    if row.get("digests"):
        said.append(f"{len(row['runs'])} runs, digest {', '.join(row['digests'])}")
    if row.get("ratios"):
        said.append("ratios " + ", ".join(f"{ratio:.3f}" for ratio in row["ratios"]))
    if row.get("step_seconds"):
        said.append(f"median step {row['step_seconds']['median'] * 1e3:.1f} ms, "
                    f"{row['tokens_per_second']:.0f} tokens/s")
    if row.get("trouble"):
        said.append(row["trouble"])
    return "; ".join(said)


def lines_of_rates(check):
    for row in check["parts"].get("bench", {}).get("results", []):
        for rate in row.get("printed", {}).get("rows", []):
            if "fraction" in rate:
                yield (f"| {cell(rate['name'])} | {rate['seconds'] * 1e3:.3f} | "
                       f"{rate['gb_per_second']:.0f} | {rate['ceiling_gb_per_second']:.0f} | "
                       f"{rate['fraction']:.3f} |")


def table(check):
    """Markdown, without anything that the JSON does not have."""
    machine = check["machine"]
    lines = [f"# {machine.get('gpu') or 'GPU'}: {check['date']}", "",
             f"Commit {check['commit']}, driver {machine.get('driver')}, "
             f"CUDA {check['build'].get('cuda')}, sm_{check['build'].get('architecture')}; "
             f"`{check['command']}`, {check['seconds']:.0f} s.", ""]
    failed = failures(check)
    lines.append(f"**{len(failed)} failed.**" if failed else "Nothing failed.")
    lines += [f"- {cell(name)}" for name in failed] + [""]
    bars = [row for found in check["parts"].values() for row in found["bars"]]
    if bars:
        lines += ["| question | value | bar | met |", "|---|---|---|---|"]
        lines += [f"| {cell(row['question'])} | {number(row['value'])} | {row['bar']} | "
                  f"{ {True: 'yes', False: 'no', None: '-'}[row['met']]} |" for row in bars]
        lines.append("")
    lines += ["| part | what | state | seconds | remark |", "|---|---|---|---|---|"]
    for part, found in check["parts"].items():
        for row in found["results"]:
            seconds = f"{row['seconds']:.1f}" if "seconds" in row else ""
            lines.append(f"| {part} | {cell(label(row))} | {row['state']} | {seconds} | "
                         f"{cell(remark(row))} |")
        if found.get("trouble"):
            lines.append(f"| {part} | the part itself | failed | | {cell(found['trouble'])} |")
    rates = list(lines_of_rates(check))
    if rates:
        lines += ["", "| operation | ms | GB/s | copy, GB/s | fraction |", "|---|---|---|---|---|"]
        lines += rates
    skipped = Counter((row["name"], why.split(": ", 1)[-1]) for found in check["parts"].values()
                      for row in found["results"] for why in row.get("skipped", []))
    if skipped:
        lines += ["", "Skipped tests:", ""]
        lines += [f"- {cell(name)}, {count}: {cell(why)}" for (name, why), count in skipped.items()]
    return "\n".join(lines) + "\n"
