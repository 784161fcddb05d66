"""table: what the measurements say. Pure functions of rows; nothing is run here.

A row is a dictionary: `row`, `what`, `peer`, and either `absent` (the reason, one line) or `unit`
("seconds" or "bytes"), `ours` and `theirs`: lists as long, pair by pair, less being better.
`check`, where there is one, says how far the two results were apart, and how far they may be.
"""

import statistics

SCHEMA = "zero.peers/1"


def quartiles(values):
    """The lower and the upper; of fewer than four values, the least and the most."""
    if len(values) < 4:
        return min(values), max(values)
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def verdict(ratios):
    """Of ours to theirs: `ahead` or `behind` where the middle half of the pairs says so, and it is by
    more than a hundredth."""
    lower, upper = quartiles(ratios)
    if upper < 0.99:
        return "ahead"
    return "behind" if lower > 1.01 else "even"


def differs(row):
    check = row.get("check")
    return check is not None and not check["difference"] <= check["allowed"]


def summarised(row):
    """The row with medians, ratios, their spread, and the verdict."""
    if "absent" in row:
        return {**row, "verdict": "not measured"}
    ours, theirs = row["ours"], row["theirs"]
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{row['row']}, {row['peer']}: {len(ours)} and {len(theirs)} measurements")
    if min(*ours, *theirs) <= 0:
        raise ValueError(f"{row['row']}, {row['peer']}: a measurement that is not positive")
    ratios = [own / other for own, other in zip(ours, theirs)]
    lower, upper = quartiles(ratios)
    return {**row, "pairs": len(ratios), "ours_median": statistics.median(ours),
            "theirs_median": statistics.median(theirs), "ratios": ratios,
            "ratio": statistics.median(ratios), "lower": lower, "upper": upper,
            "least": min(ratios), "most": max(ratios),
            "verdict": "not the same work" if differs(row) else verdict(ratios)}


def shown(value, unit):
    if unit == "bytes":
        return f"{value / (1 << 20):.1f} MiB"
    return f"{value:.3f} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def spread(row):
    if row["pairs"] == 1:
        return ""
    return f"{row['lower']:.2f}-{row['upper']:.2f} ({row['least']:.2f}-{row['most']:.2f})"


def checked(row):
    if "check" not in row:
        return ""
    check = row["check"]
    return f"{check['what']}: {check['difference']:.2g} (at most {check['allowed']:.2g})"


def line(cells):
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def table_of(rows):
    lines = [line(["what", "peer", "ours", "theirs", "ours / theirs", "middle half (all)", "we are",
                   "the same work?"]), line(["---"] * 8)]
    for row in rows:
        if "absent" in row:
            lines.append(line([row["what"], row["peer"], "", "", "", "", "not measured",
                               row["absent"]]))
        else:
            lines.append(line([row["what"], row["peer"], shown(row["ours_median"], row["unit"]),
                               shown(row["theirs_median"], row["unit"]), f"{row['ratio']:.2f}",
                               spread(row), row["verdict"], checked(row)]))
    return lines


def behind(rows):
    """What we lose, the worst first: one line each."""
    lost = sorted((row for row in rows if row["verdict"] == "behind"),
                  key=lambda row: -row["ratio"])
    return [f"- {row['what']}, against {row['peer']}: {row['ratio']:.2f} times theirs" +
            (f" ({row['note']})" if row.get("note") else "") for row in lost]


def document(rows, around):
    """The whole of peers.json. `around` is date, machine, command, versions."""
    return {"schema": SCHEMA, **around, "rows": [summarised(row) for row in rows]}


def page(whole):
    """peers.md."""
    rows, machine = whole["rows"], whole["machine"]
    counts = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    lines = ["# Against the peers", "",
             f"{whole['date']}, {machine['processor']}, {machine['cores']} cores, "
             f"{machine['memory'] / (1 << 30):.1f} GiB, {machine['system']}; commit "
             f"{whole['commit']}.", "", f"    {whole['command']}", "",
             "; ".join(f"{name} {version}" for name, version in whole["versions"].items()) + ".",
             "", "Less is better, so below 1 we are ahead. Medians of interleaved pairs: the middle half of "
             "the ratios, and in brackets all of them.", ""]
    lines += table_of(rows)
    lines += ["", "Of {} rows: {}.".format(len(rows), ", ".join(
        f"{count} {name}" for name, count in sorted(counts.items()))), ""]
    lost = behind(rows)
    lines += ["## Where we lose", "", *(lost or ["Nowhere in this run."]), ""]
    notes = sorted({row["note"] for row in rows if row.get("note")})
    if notes:
        lines += ["## Notes", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)
