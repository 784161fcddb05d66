"""What plan_check found, as rows, a page and one JSON."""

import json
import os
import platform
from pathlib import Path

WITHIN = 0.15
BEHIND = 0.10
RUNS = 40
NEEDED = 36


def write(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def is_close(run):
    return abs(run["ratio"] - 1) <= WITHIN


def run_cells(group, run):
    faults = run["differing_bytes"]
    return [group["group"], run["name"], f"{run['predicted'] * 1e3:.1f}",
            f"{run['measured'] * 1e3:.1f}", f"{run['ratio']:.2f}{'' if is_close(run) else ' *'}",
            run["bound_by"], "as planned" if not faults else "; ".join(faults),
            "yes" if run["steady"] else f"no: others {run['others']:.2f}, drift {run['drift']:+.2f}"]


def group_rows(group):
    return "".join("{:<12} {:<36} {:>8} {:>8}  {:<7} {:<14} {}  {}\n".format(*run_cells(group, run))
                   for run in group["runs"])


def edge_rows(group):
    return "".join(f"{group['group']:<12} {run['name']:<36} {run['planned']:>10} "
                   f"{run['least']:>10} {'; '.join(run['wrong']) or 'as planned'}\n"
                   for run in group["runs"])


def budget_cells(found):
    return [found["budget"], found["bytes"], str(len(found["ways"])),
            " ".join(found["recommended"]), f"{found['recommended_seconds'] * 1e3:.1f}",
            " ".join(found["fastest"]), f"{found['fastest_seconds'] * 1e3:.1f}",
            f"{found['behind'] * 100:+.1f} %", f"{found['recommended_estimate'] * 1e3:.1f}"]


def budget_rows(found):
    cells = budget_cells(found)
    return (f"{cells[0]}, {cells[1]}: of {cells[2]} that fit\n  recommended {cells[3]}: {cells[4]} "
            f"ms, {cells[8]} planned\n  fastest     {cells[5]}: {cells[6]} ms; {cells[7]}\n")


def read_all(out, kind):
    return [json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(Path(out).glob(f"{kind}-*.json"))]


def runs_of(groups):
    return [run for group in groups for run in group["runs"]]


def summary(out):
    """Of all that lies in a folder."""
    groups, budgets = read_all(out, "group"), read_all(out, "budget")
    runs, edges = runs_of(groups), runs_of(read_all(out, "edges"))
    return {"schema": "zero.plan_check/1",
            "machine": {"cores": os.cpu_count(), "system": platform.release()},
            "runs": len(runs),
            "same_bytes": sum(not run["differing_bytes"] for run in runs),
            "close": sum(is_close(run) for run in runs),
            "edges": len(edges),
            "edges_right": sum(not run["wrong"] for run in edges),
            "budgets": len(budgets),
            "recommended_well": sum(b["behind"] <= BEHIND for b in budgets),
            "groups": groups, "feasibility": edges, "recommendations": budgets}


def held(whole):
    """Whether the bars are met by what was measured: all of it may lie in several calls' files."""
    runs, budgets = whole["runs"], whole["budgets"]
    few = whole["close"] * RUNS < NEEDED * runs
    return (whole["same_bytes"] == runs and not few and
            whole["edges_right"] == whole["edges"] and
            whole["recommended_well"] == budgets)


def last_lines(whole):
    return (f"plan_check: bytes as planned: {whole['same_bytes']} of {whole['runs']}; step time "
            f"within {WITHIN * 100:.0f} %: {whole['close']} of {whole['runs']} (bar {NEEDED} of "
            f"{RUNS}); what fits: {whole['edges_right']} of {whole['edges']}; recommendation "
            f"within {BEHIND * 100:.0f} % of the fastest: {whole['recommended_well']} of "
            f"{whole['budgets']}\n")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def page(whole):
    """The tables, as Markdown."""
    text = last_lines(whole).replace("plan_check: ", "", 1) + "\n"
    rows = [run_cells(group, run) for group in whole["groups"] for run in group["runs"]]
    text += table(["group", "run", "predicted ms", "measured ms", "ratio", "bound by", "bytes",
                  "steady"],
                  rows)
    if whole["recommendations"]:
        text += "\n" + table(["budget", "bytes a rank", "fit", "recommended", "ms", "fastest",
                              "ms", "behind", "planned ms"],
                             [budget_cells(found) for found in whole["recommendations"]])
    return text
