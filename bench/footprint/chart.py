"""The picture of a footprint.json: the largest model over the ranks, a panel for each budget and
tier. Legible without colour: stages differ in their marks."""

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

import tables  # noqa: E402

STAGES = {0: ("o", "#0072b2"), 1: ("s", "#d55e00"), 2: ("^", "#009e73"), 3: ("D", "#6a3d9a")}


def draw_panel(axes, rows):
    for stage, (shape, colour) in STAGES.items():
        found = sorted((row["ranks"], row["largest"]["parameters"], bool(row.get("measured")))
                       for row in rows if row["stage"] == stage and row["largest"])
        if not found:
            continue
        ranks, sizes, measured = zip(*found)
        axes.plot(ranks, sizes, color=colour, linewidth=1)
        for x, y, filled in found:
            axes.plot(x, y, shape, color=colour, markersize=6 - stage * 0.4,
                      markerfacecolor=colour if filled else "white")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({row["ranks"] for row in rows}))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: tables.parameters(round(value)))
    axes.grid(True, linewidth=0.3)
    axes.tick_params(labelsize=7)


def keys():
    from matplotlib.lines import Line2D
    stages = [Line2D([], [], color=colour, marker=shape, label=f"stage {stage}", linewidth=1)
              for stage, (shape, colour) in STAGES.items()]
    return stages + [Line2D([], [], color="#555555", marker="o", linestyle="", label="measured"),
                     Line2D([], [], color="#555555", marker="o", linestyle="", label="predicted",
                            markerfacecolor="white")]


def places_of(record):
    """[(of, budget, tier)], those of all of a rank's memory with what rests in it above what rests
    on disk. Left out is what adds nothing: resting on cpu makes no room in all of a rank's memory,
    and for a GPU's it is one whether state rests on cpu or on disk."""
    budgets = {of: list(dict.fromkeys(row["budget"] for row in record["rows"] if row["of"] == of))
               for of in ("memory", "device")}
    return ([("memory", budget, tier) for tier in ("none", "nvme") for budget in budgets["memory"]]
            + [("device", budget, tier) for budget in budgets["device"] for tier in ("none", "cpu")])


def title(of, budget, tier):
    if of == "device":
        return f"{tables.size(budget)} of a GPU, state {'there' if tier == 'none' else 'below'}"
    return f"{tables.size(budget)} a rank, state {'there' if tier == 'none' else 'on disk'}"


def draw(record, folder):
    """Writes footprint.png and footprint.svg."""
    panels = places_of(record)
    across = max(1, len({budget for of, budget, _ in panels if of == "memory"}))
    down = -(-len(panels) // across)
    height = 2.0 * down + 0.9
    drawn, grid = pyplot.subplots(down, across, squeeze=False, figsize=(2.7 * across, height))
    for axes in grid.flat[len(panels):]:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels):
        draw_panel(axes, [row for row in record["rows"]
                          if (row["of"], row["budget"], row["tier"]) == panel])
        axes.set_title(title(*panel), fontsize=8)
    drawn.supxlabel("ranks", fontsize=9)
    drawn.supylabel("parameters of the largest model that fits", fontsize=9)
    drawn.legend(handles=keys(), ncol=min(6, 2 * across), fontsize=8, loc="upper center",
                 frameon=False)
    drawn.tight_layout(rect=(0, 0, 1, 1 - (0.3 if across > 2 else 0.6) / height))
    for kind in ("png", "svg"):
        drawn.savefig(folder / f"footprint.{kind}", dpi=110,
                      metadata={"Date": None} if kind == "svg" else {})
    pyplot.close(drawn)
