"""A page as a browser without network sees it, for tests: its elements, what it would ask for, and
what in it is a number."""

import html.parser
import json
import re

VOID = {"meta", "link", "br"}
ASKING = {"src", "href", "xlink:href", "srcset", "data", "action", "poster", "background", "cite",
          "formaction", "manifest", "ping"}


class Page(html.parser.HTMLParser):
    """texts: (text, place, scale, tick) of every piece of text; asked: what may lead elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.text, self.open, self.texts, self.asked, self.ids = text, [], [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        for name, value in attrs:
            if name in ASKING and tag != "meta":
                self.asked.append((tag, name, value))
            self.asked += [(tag, name, url) for url in re.findall(r"url\(([^)]*)\)", value or "")]
            if name.startswith("on") or tag in ("script", "iframe", "object", "embed", "base"):
                self.asked.append((tag, name, "a program or another page"))
        if "id" in given:
            self.ids.append(given["id"])
        if tag not in VOID:
            self.open.append((tag, given))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        opened, _ = self.open.pop()
        assert opened == tag, f"</{tag}> where <{opened}> is open"

    def handle_data(self, text):
        if not text.strip():
            return
        if any(tag == "style" for tag, _ in self.open):
            self.asked += [("style", "", url) for url in re.findall(r"url\(([^)]*)\)", text)]
            self.asked += [("style", "", "@import")] * text.count("@import")
            return
        place = scale = None
        for _, given in self.open:
            if "data-json" in given:
                place, scale = given["data-json"], float(given.get("data-scale", 1))
        tick = any("tick" in given.get("class", "").split() for _, given in self.open)
        kept = any("verdict" in given.get("class", "").split() for _, given in self.open)
        self.texts.append((text.strip(), place, scale, tick or kept))


def requests(page):
    """What the page would ask for: all that is neither in it nor spelled out."""
    return [asked for asked in page.asked
            if not str(asked[2]).strip("'\" ").startswith(("#", "data:"))]


def at(report, pointer):
    """What a JSON pointer leads to."""
    for key in pointer.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        report = report[int(key)] if isinstance(report, list) else report[key]
    return report


def wrong_texts(page, paths):
    """Texts with a digit in them that are neither ticks of an axis nor what their place says."""
    reports = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            reports.append(json.load(file))
    wrong, right = [], 0
    for text, place, scale, exempt in page.texts:
        if place is None:
            if re.search(r"\d", text) and not exempt:
                wrong.append(f"{text!r} is from nowhere")
            continue
        file, pointer = place.split("#", 1)
        found = at(reports[int(file)], pointer)
        shown = re.sub(r"^[A-Z]: ", "", text) if len(paths) > 1 else text
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            number = re.fullmatch(r"(-?\d+(?:\.(\d+))?)(?: %)?", shown)
            decimals = len(number[2] or "") if number else 0
            good = number and abs(float(number[1]) - found * scale) <= 0.5000001 * 10 ** -decimals
        else:
            good = shown == found
        right += bool(good)
        if not good:
            wrong.append(f"{text!r} is not {found!r} * {scale} of {place}")
    return wrong, right
