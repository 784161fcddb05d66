"""Pictures that lay all runs beside each other: memory, links, seconds, overlap, losses."""

from matplotlib.patches import Patch, Rectangle

from page_svg import INK, LINE, PAGE, SOFT, COLOURS, figure, fill, name_rows, say
from sources import MEBIBYTE

# (account, colour, mark), in the order of the contract
CLASSES = [("parameters", 0, " "), ("gradients", 1, "/"), ("optimizer", 2, "."),
           ("buffers", 3, " "), ("host", 4, "\\"), ("disk", 5, "-")]
PARTS = [("compute", "compute", 0, " "), ("own_work", "own work of the verbs", 2, "."),
         ("exposed_communication", "exposed communication", 1, "/"),
         ("exposed_io", "exposed I/O", 4, "\\")]
LINKS = [("communication", "all_gather", "all-gather"),
         ("communication", "reduce_scatter", "reduce-scatter"),
         ("communication", "all_reduce", "all-reduce"),
         ("communication", "broadcast", "broadcast"),
         ("communication", "all_to_all", "all-to-all"),
         ("offload_io", "host_to_device", "host to device"),
         ("offload_io", "device_to_host", "device to host"),
         ("offload_io", "disk_read", "from disk"), ("offload_io", "disk_written", "to disk")]
MARKERS = "osD^vPX*<>"
MOST_RANKS = 8  # that have a bar each; of more, one of each that differs


def room(rows, each=0.26, least=1.0):
    """Inches for so many rows."""
    return max(least, rows * each) + 0.75


def ranks_drawn(run):
    """Which entries of a run's memory get a bar."""
    entries = run.at("memory") or []
    if len(entries) <= MOST_RANKS:
        return list(range(len(entries)))
    accounts = [name for name, _, _ in CLASSES]
    seen = {}
    for i, entry in enumerate(entries):
        key = tuple(entry[side][a] for side in ("measured", "predicted") for a in accounts)
        seen.setdefault(key, i)
    return list(seen.values())


def memory(runs):
    """Stacked bars of every rank by class, the prediction as an outline."""
    bars = [(run, rank) for run in runs for rank in ranks_drawn(run)]
    drawn = figure(room(len(bars), 0.14, 1.2) + 0.12 * len(runs))
    axes = drawn.add_subplot()
    y, centres, widest = 0.0, [], 0.0
    for run in runs:
        ranks = ranks_drawn(run)
        first = y
        for rank in ranks:
            left = ahead = 0.0
            for account, colour, mark in CLASSES:
                width = run.at("memory", rank, "measured", account) / MEBIBYTE
                told = run.at("memory", rank, "predicted", account) / MEBIBYTE
                if width:
                    axes.barh(y, width, 0.86, left, **fill(colour, mark))
                if told:
                    axes.add_patch(Rectangle((ahead, y - 0.43), told, 0.86, fill=False,
                                             edgecolor=INK, linewidth=0.7, zorder=4))
                left, ahead = left + width, ahead + told
            widest = max(widest, left, ahead)
            peak = run.value("memory", rank, "measured", "peak", scale=1 / MEBIBYTE)
            say(axes, left, y, peak, 1, aside=4, va="center", ha="left", fontsize=7, color=SOFT)
            y += 1
        centres.append((first + y - 1) / 2)
        y += 0.9
    name_rows(axes, centres, runs)
    axes.set_ylim(y - 0.9 + 0.1, -0.8)
    axes.set_xlim(0, widest * 1.09 or 1)
    axes.grid(axis="x")
    axes.set_xlabel("MiB; at the end of a bar the peak, which is without the disk")
    handles = [Patch(**fill(c, p), label=n) for n, c, p in CLASSES]
    handles.append(Patch(fill=False, edgecolor=INK, linewidth=0.9, label="predicted"))
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncol=7,
                columnspacing=1.4, borderaxespad=0.3)
    return drawn


def columns(runs, cells, limit=None, decimals=1, unit=""):
    """A column of bars for each (title, values by run); a value's number at its bar."""
    drawn = figure(room(len(runs), 0.2, 0.6))
    all_axes = drawn.subplots(1, len(cells), sharey=True, squeeze=False)[0]
    highest = limit or max((v.shown for _, values in cells for v in values if v), default=0) or 1
    for axes, (title, values) in zip(all_axes, cells):
        for row, value in enumerate(values):
            if limit:
                axes.barh(row, limit, 0.7, facecolor="none", edgecolor=LINE, linewidth=0.8)
            if value is None:
                axes.text(highest * 0.03, row, "–", va="center", color=SOFT)
                continue
            axes.barh(row, value.shown, 0.7, **fill(0, " "))
            inside = value.shown > 0.55 * highest
            say(axes, value.shown, row, value, decimals, unit, aside=-3 if inside else 3,
                va="center", fontsize=7.5, ha="right" if inside else "left",
                color=PAGE if inside else INK)
        axes.set_title(title, loc="left")
        axes.set_xlim(0, highest * (1 if limit else 1.02))
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    name_rows(all_axes[0], range(len(runs)), runs)
    all_axes[0].set_ylim(len(runs) - 0.4, -0.6)
    return drawn


def links(runs):
    """Bytes of a step on every link that anything went over."""
    cells = []
    for array, field, title in LINKS:
        values = [run.most(array, field, scale=1 / MEBIBYTE) for run in runs]
        if any(v and v.number for v in values):
            cells.append((title, values))
    return columns(runs, cells) if cells else None


def overlap(runs):
    """What was hidden behind computing, in hundredths."""
    cells = [("moving between tiers,\nall steps",
              [run.value("links", "overlap", "fraction", scale=100.0) for run in runs])]
    for lane, title in (("communication", "communication,\none step"),
                        ("copy in", "copies in,\none step"), ("copy out", "copies out,\none step")):
        cells.append((title, [run.value("timeline", "overlap", lane, "fraction", scale=100.0)
                              for run in runs]))
    cells = [cell for cell in cells if any(cell[1])]
    return columns(runs, cells, limit=100.0, decimals=0, unit=" %") if cells else None


def seconds(runs):
    """A step's time in parts that do not overlap."""
    runs = [run for run in runs if run.at("seconds_of_step")]
    if not runs:
        return None
    drawn = figure(room(len(runs), 0.24, 0.7))
    axes = drawn.add_subplot()
    longest = max(run.at("seconds_of_step", "all") for run in runs) * 1e3
    for row, run in enumerate(runs):
        left = 0.0
        for part, _, colour, mark in PARTS:
            value = run.value("seconds_of_step", part, scale=1e3)
            axes.barh(row, value.shown, 0.72, left, **fill(colour, mark))
            if value.shown > 0.07 * longest:
                say(axes, left + value.shown / 2, row, value, 1, ha="center", va="center",
                    fontsize=7.5, color=INK, bbox={"facecolor": PAGE, "edgecolor": "none",
                                                   "pad": 0.8, "alpha": 0.85})
            left += value.shown
        say(axes, left, row, run.value("seconds_of_step", "all", scale=1e3), 1, aside=5,
            va="center", fontsize=8)
    name_rows(axes, range(len(runs)), runs)
    axes.set_ylim(len(runs) - 0.4, -0.6)
    axes.set_xlim(0, longest * 1.08)
    axes.grid(axis="x")
    axes.set_xlabel("ms a step, mean over all steps, of the first rank")
    axes.legend(handles=[Patch(**fill(c, p), label=n) for _, n, c, p in PARTS], loc="lower left",
                bbox_to_anchor=(0, 1), ncol=4, borderaxespad=0.3)
    return drawn


def losses(runs):
    """Losses by step; runs with the same ones, number for number, share a line."""
    lines = {}
    for run in runs:
        values = tuple(run.at("losses") or ())
        if any(value is not None for value in values):
            lines.setdefault(values, []).append(run)
    if not lines:
        return None
    drawn = figure(2.6 + 0.17 * len(lines))
    axes = drawn.add_subplot()
    for i, (values, of) in enumerate(lines.items()):
        steps = range(1, len(values) + 1)
        name = "all runs" if len(of) == len(runs) > 1 else "; ".join(run.name for run in of)
        axes.plot(steps, [float("nan") if v is None else v for v in values],
                  color=COLOURS[i % 10], marker=MARKERS[i % 10], markersize=4, linewidth=1.4,
                  label=name)
        last = of[0].value("losses", len(values) - 1)
        if last is not None:
            say(axes, len(values), last.shown, last, 4, aside=7, va="center")
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a token")
    axes.set_xlim(0.5, max(len(values) for values in lines) * 1.08 + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3)
    return drawn
