#!/usr/bin/env python3
"""Pictures of what `zero compare` wrote, for the page that `zero report` writes.

    draw.py [--] FILE.json...    prints {"schema": "zero.figures/1", "figures": [{"title": ...,
                                 "name": ..., "place": ..., "note": ..., "svg": ...}, ...]}

`name` and `place` are of the run that a picture is of, null for one of all runs.

Exit code 77 where matplotlib is not installed. Writes no file of its own.
"""

import json
import sys

sys.dont_write_bytecode = True

PICTURES = [
    ("memory", "Memory of every rank, by class",
     "A bar for each rank, from the first down; of more than eight, one for each that differs. "
     "Filled: measured. Outlined: predicted before the run began. Where they are the same, the "
     "outline is the bar's edge."),
    ("seconds", "Where a step's time went",
     "Exposed is what the rank waited for: its peers, or moves between tiers."),
    ("overlap", "Hidden behind computing",
     "Of the time in which a link was busy, the part in which computing went on; the frame is all "
     "of it. A dash: nothing was there to hide."),
    ("links", "Bytes on every link",
     "MiB a step, of the rank that moves most. All columns have one scale."),
    ("losses", "Losses", "Runs whose losses are the same, number for number, share a line."),
]


def figures(paths):
    """All pictures of the files, each as the page takes it."""
    import bars
    import page_svg
    import sources
    import step

    runs = sources.read(paths)
    if not runs:
        return []
    drawn = [(title, None, note, getattr(bars, name)(runs)) for name, title, note in PICTURES]
    for run in runs:
        drawn.append(("One step", run,
                      "The first rank, in the step whose length is nearest to the median of the "
                      "last ones. Above, the memory it holds; the dashed line is all that is set "
                      "aside, slots that nobody uses too. Slots are what full parameters and full "
                      "gradients come to and go from.", step.step(run)))
    return [{"title": title, "name": run and run.name, "place": run and run.name_place,
             "note": note, "svg": page_svg.inline(picture, f"{title}: {run.name}" if run else title,
                                                  number)}
            for number, (title, run, note, picture) in enumerate(drawn) if picture is not None]


def main(arguments):
    paths = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not paths:
        print("draw.py: no FILE.json", file=sys.stderr)
        return 2
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print("draw.py: matplotlib is not here", file=sys.stderr)
        return 77
    json.dump({"schema": "zero.figures/1", "figures": figures(paths)}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
