"""How pictures look, and how they become SVG that stands inside a page.

A picture is drawn in colours that stand for names; in the SVG they are the page's variables, so
that one picture serves light, dark and paper. What has a colour has a pattern as well.
"""

import io
import re

import matplotlib
from matplotlib.figure import Figure

WIDTH = 9.6  # inches; the page scales it to its own width

# The page's variables (report_style.cpp), by the colours that stand for them here.
NAMES = ["ink", "soft", "line", "page"] + [f"c{i}" for i in range(10)]
STANDS_FOR = {name: f"#fe00{i:02x}" for i, name in enumerate(NAMES)}
INK, SOFT, LINE, PAGE = (STANDS_FOR[name] for name in NAMES[:4])
COLOURS = [STANDS_FOR[f"c{i}"] for i in range(10)]

STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "zero report", "font.size": 8.5,
    "axes.edgecolor": LINE, "axes.labelcolor": SOFT, "axes.titlesize": 8.5,
    "axes.titlecolor": INK, "axes.facecolor": "none", "figure.facecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid.axis": "x",
    "text.color": INK, "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": SOFT,
    "ytick.labelcolor": INK, "grid.color": LINE, "grid.linewidth": 0.5, "axes.axisbelow": True,
    "hatch.linewidth": 0.8, "hatch.color": PAGE, "legend.frameon": False,
    "legend.fontsize": 8.5, "legend.handlelength": 2.2, "legend.handleheight": 1.1,
}


def figure(height):
    """An empty picture, `height` inches high."""
    matplotlib.rcParams.update(STYLE)
    return Figure(figsize=(WIDTH, height), layout="constrained")


def fill(colour, pattern):
    """What a bar of this colour and pattern is drawn with."""
    return {"facecolor": COLOURS[colour], "hatch": pattern, "edgecolor": PAGE, "linewidth": 0.4}


def say(axes, x, y, value, decimals, after="", **how):
    """Writes a Value, tagged with where it stands; what is said after it has no numbers."""
    text = axes.text(x, y, f"{value.shown:.{decimals}f}{after}", **how)
    text.set_gid(f"json={value.place}*{value.scale!r}")
    return text


def name_rows(axes, places, runs):
    """The names of runs beside their rows."""
    axes.set_yticks(list(places))
    for label, run in zip(axes.set_yticklabels([run.name for run in runs]), runs):
        label.set_gid(f"json={run.name_place}*1")
    axes.tick_params(axis="y", length=0)


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
    for name, colour in STANDS_FOR.items():
        text = text.replace(colour, f"var(--{name})")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, 'DejaVu Sans', sans-serif",
                  text)
    text = re.sub(r'<g id="json=([^"]*?)\*([^"*]*)">', r'<g data-json="\1" data-scale="\2">', text)
    text = re.sub(r'<g id="[xy]tick_\d+">', '<g class="tick">', text)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>f{number}-", text)
    text = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>",
                  rf'<svg role="img" aria-label="{title}" \1>', text, count=1)
    return re.sub(r"\n\s*", "\n", text)
