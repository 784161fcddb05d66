"""One step of a rank: memory, verbs and lanes over the same time."""

from matplotlib.patches import Patch

from page_svg import INK, LINE, PAGE, SOFT, COLOURS, boxes, figure, fill, say
from sources import MEBIBYTE

# What the trainer computes, then the eight verbs in the order the data travels:
# (verb, colour, mark)
VERBS = [("forward", 0, " "), ("backward", 0, "/"), ("fetch", 4, "\\"),
         ("gather", 1, " "), ("release", 8, " "), ("reduce", 1, "/"), ("clip", 6, " "),
         ("update", 2, "."), ("publish", 9, "x"), ("spill", 5, "-")]
STEADY = [("parameters", 0, " "), ("gradients", 1, "/"), ("optimizer", 2, "."),
          ("host", 4, "\\"), ("buffers", 3, " ")]
KNOWN = {verb for verb, _, _ in VERBS}
MOST_TRACKS = 4     # of a lane, whose slices have numbers
NARROWEST = 0.0012  # of a step: what is shorter is drawn so wide
LABELLED = 0.022    # of a step: what is longer has its unit's number


def slices(timeline):
    """(index, lane, verb, unit, begin, end) of each slice, milliseconds."""
    of = timeline["slices"]
    return [(i, lane, verb, unit, 1e3 * begin, 1e3 * end)
            for i, (lane, verb, unit, begin, end) in enumerate(zip(
                of["lane"], of["verb"], of["unit"], of["begin"], of["end"]))]


def tracks(of_lane, nested):
    """(track of each slice, how many): those of one track do not overlap, unless verbs nest."""
    if nested:
        return [0] * len(of_lane), 1
    ends, found = [], []
    for _, _, _, _, begin, end in of_lane:
        track = next((t for t, until in enumerate(ends) if until <= begin), len(ends))
        ends[track:track + 1] = [end]
        found.append(track)
    return found, max(1, len(ends))


def draw_memory(axes, run, length):
    """What is held all the time, and on top of it the slots as they fill and empty."""
    memory = run.at("timeline", "memory")
    base = 0.0
    handles = []
    for account, colour, mark in STEADY:
        height = memory[account] / MEBIBYTE
        if height == 0:
            continue
        axes.fill_between([0, length], base, base + height, **fill(colour, mark))
        name = "other buffers" if account == "buffers" else account
        handles.append(Patch(**fill(colour, mark), label=name))
        base += height
    reserved = memory["slots_reserved"] / MEBIBYTE
    if reserved:
        at = [1e3 * t for t in memory["slots_in_use"]["at"]] + [length]
        used = [b / MEBIBYTE for b in memory["slots_in_use"]["bytes"]]
        axes.fill_between(at, base, [base + u for u in used + used[-1:]], step="post",
                          **fill(7, "|"))
        handles.append(Patch(**fill(7, "|"), label="slots in use"))
    top = base + reserved
    line, = axes.plot([0, length], [top, top], color=INK, linewidth=1.1, linestyle=(0, (4, 2)),
                      label="held")
    peak = run.value("memory", run.at("timeline", "rank"), "measured", "peak", scale=1 / MEBIBYTE)
    if peak is not None:
        say(axes, length, top, peak, 2, ha="right", va="bottom", fontsize=8)
    axes.set_ylim(0, top * 1.16 or 1)
    axes.set_ylabel("MiB")
    axes.grid(axis="y")
    axes.legend(handles=handles + [line], loc="lower left", bbox_to_anchor=(0, 1), ncol=8,
                columnspacing=1.3, borderaxespad=0.3)


def draw_verbs(axes, all_slices, length):
    """A row for each verb: solid on the rank's own thread, framed on other lanes."""
    least = NARROWEST * length
    for row, (verb, colour, mark) in enumerate(VERBS):
        of_verb = [s for s in all_slices if s[2] == verb]
        axes.axhline(row + 0.5, color=LINE, linewidth=0.4)
        boxes(axes, [(b, max(e, b + least)) for _, lane, _, _, b, e in of_verb if lane == 0],
              row - 0.4, row, **fill(colour, mark))
        boxes(axes, [(b, max(e, b + least)) for _, lane, _, _, b, e in of_verb if lane != 0],
              row + 0.06, row + 0.4, facecolor="none", edgecolor=COLOURS[colour], linewidth=0.8)
    axes.set_yticks(range(len(VERBS)), [verb for verb, _, _ in VERBS])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(VERBS) - 0.5, -0.5)


def draw_lanes(axes, run, all_slices, length):
    """A row for each lane that did anything, slices by verb, with their units' numbers."""
    names = run.at("timeline", "lanes")
    busy = [lane for lane in range(len(names)) if any(s[1] == lane for s in all_slices)]
    for row, lane in enumerate(busy):
        of_lane = [s for s in all_slices if s[1] == lane]
        on, count = tracks(of_lane, nested=lane == 0)
        high = 0.84 / count
        for verb, colour, mark in VERBS + [("", 8, " ")]:
            for track in range(count):
                bars = [(b, max(e, b + NARROWEST * length))
                        for (_, _, v, _, b, e), t in zip(of_lane, on)
                        if t == track and (v == verb or verb == "" and v not in KNOWN)]
                top = row - 0.42 + track * high
                boxes(axes, bars, top, top + 0.94 * high,
                      **{**fill(colour, mark), "edgecolor": PAGE, "linewidth": 0.25})
        if count > MOST_TRACKS:
            continue
        for (index, _, _, unit, begin, end), track in zip(of_lane, on):
            if end - begin < LABELLED * length or unit < 0:
                continue
            say(axes, (begin + end) / 2, row - 0.42 + (track + 0.5) * high,
                run.value("timeline", "slices", "unit", index), 0, ha="center", va="center",
                fontsize=7 if count < 3 else 5.5,
                bbox={"facecolor": PAGE, "edgecolor": "none", "pad": 0.6, "alpha": 0.85})
    axes.set_yticks(range(len(busy)), [names[lane] for lane in busy])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(busy) - 0.5, -0.5)
    axes.set_xlabel("ms of the step; numbers are units, in the order they were registered")


def step(run):
    """The picture of a run's timeline; None where it has none."""
    if not run.at("timeline"):
        return None
    all_slices = slices(run.at("timeline"))
    length = 1e3 * run.at("timeline", "seconds")
    lanes = len({s[1] for s in all_slices})
    drawn = figure(4.3 + 0.42 * lanes)
    rows = drawn.subplots(3, 1, sharex=True,
                          gridspec_kw={"height_ratios": [1.5, 1.9, 0.34 * lanes + 0.25]})
    draw_memory(rows[0], run, length)
    draw_verbs(rows[1], all_slices, length)
    draw_lanes(rows[2], run, all_slices, length)
    rows[0].set_xlim(0, length)
    for axes in rows[1:]:
        axes.grid(axis="x")
    rows[1].set_title("verbs: above the line on the rank's own thread, framed on another lane",
                      loc="left", color=SOFT)
    rows[2].set_title("lanes", loc="left", color=SOFT)
    return drawn
