"""How pictures look, and how they become SVG that stands inside a page.

A picture is drawn in colours that stand for names; in the SVG they are the page's variables, so
that one picture serves light, dark and paper. What is filled has a pattern as well, and the
patterns are the SVG's own, a few bytes each.
"""

import html
import io
import re

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

WIDTH = 9.6  # inches; the page scales it to its own width

# The page's variables (report_style.cpp), by the colours that stand for them here.
NAMES = ["ink", "soft", "line", "page"] + [f"c{i}" for i in range(10)]
STANDS_FOR = {name: f"#fe00{i:02x}" for i, name in enumerate(NAMES)}
INK, SOFT, LINE, PAGE = (STANDS_FOR[name] for name in NAMES[:4])
COLOURS = [STANDS_FOR[f"c{i}"] for i in range(10)]

# What is drawn over a fill, in tiles of six by six.
LINES = {"/": "M-1 1l2-2M0 6l6-6M5 7l2-2", "\\": "M-1 5l2 2M0 0l6 6M5-1l2 2", "-": "M0 3h6",
         "x": "M0 6l6-6M0 0l6 6", ".": "M1 2h2M4 5h2", "|": "M3 0v6"}
MARKS = " " + "".join(LINES)

STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "zero report", "font.size": 8.5,
    "axes.edgecolor": LINE, "axes.labelcolor": SOFT, "axes.titlesize": 8.5,
    "axes.titlecolor": INK, "axes.facecolor": "none", "figure.facecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid.axis": "x",
    "text.color": INK, "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": SOFT,
    "ytick.labelcolor": INK, "grid.color": LINE, "grid.linewidth": 0.5, "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5, "legend.handlelength": 2.2, "legend.handleheight": 1.1,
}


def figure(height):
    """An empty picture, `height` inches high."""
    matplotlib.rcParams.update(STYLE)
    return Figure(figsize=(WIDTH, height), layout="constrained")


def fill(colour, mark):
    """What an area of this colour with this mark over it is drawn with: a blank or one of LINES."""
    return {"facecolor": f"#fd{colour:02x}{MARKS.index(mark):02x}", "edgecolor": "none",
            "linewidth": 0}


def boxes(axes, spans, low, high, **how):
    """Boxes from low to high over (begin, end) each, as one shape."""
    if not spans:
        return
    corners = [point for begin, end in spans
               for point in ((begin, low), (end, low), (end, high), (begin, high), (begin, low))]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(spans)
    axes.add_patch(PathPatch(Path(corners, codes), **how))


def say(axes, x, y, value, decimals, after="", aside=0, **how):
    """Writes a Value, so many points aside, tagged with where it stands; `after` has no numbers."""
    text = axes.annotate(f"{value.shown:.{decimals}f}{after}", (x, y), (aside, 0),
                         textcoords="offset points", annotation_clip=False, **how)
    text.set_gid(f"json={value.place}*{value.scale!r}")
    return text


def name_rows(axes, places, runs):
    """The names of runs beside their rows."""
    axes.set_yticks(list(places))
    for label, run in zip(axes.set_yticklabels([run.name for run in runs]), runs):
        label.set_gid(f"json={run.name_place}*1")
    axes.tick_params(axis="y", length=0)


def shorter(match):
    """Coordinates to a hundredth of a point."""
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", match[0])


def patterns(text, number):
    """Fills as patterns of the SVG's own, those that are used."""
    def colour(match):
        name, mark = int(match[1], 16), int(match[2], 16)
        if mark == 0:
            return f"var(--c{name})"
        used.add((name, mark))
        return f"url(#f{number}-p{name}-{mark})"

    used = set()
    text = re.sub(r"#fd([0-9a-f]{2})([0-9a-f]{2})", colour, text)
    tiles = "".join(
        f'<pattern id="f{number}-p{name}-{mark}" patternUnits="userSpaceOnUse" width="6" '
        f'height="6"><path d="M0 0h6v6H0z" style="fill: var(--c{name})"/><path '
        f'd="{LINES[MARKS[mark]]}" style="stroke: var(--page); fill: none"/></pattern>'
        for name, mark in sorted(used))
    return re.sub(r"(<svg[^>]*>)", rf"\1<defs>{tiles}</defs>", text, count=1)


def inline(drawn, title, number):
    """The picture as an <svg> element; `number` keeps its ids apart from other pictures'."""
    stream = io.StringIO()
    drawn.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None,
                                                  "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)
    text = text.replace("xlink:href=", "href=")
    for name, stand_in in STANDS_FOR.items():
        text = text.replace(stand_in, f"var(--{name})")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, 'DejaVu Sans', sans-serif",
                  text)
    text = re.sub(r'<g id="json=([^"]*?)\*([^"*]*)">', r'<g data-json="\1" data-scale="\2">', text)
    text = re.sub(r'<g id="[xy]tick_\d+">', '<g class="tick">', text)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>f{number}-", text)
    text = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>",
                  rf'<svg role="img" aria-label="{html.escape(title)}" \1>', text, count=1)
    text = re.sub(r' (?:d|x|y|transform|width|height)="[^"]*"', shorter, text)
    return patterns(re.sub(r"\s*\n\s*", " ", text), number)
