"""What the documents point at exists."""

import json
import re

# Files that people follow step by step: each path they name in backticks must be there.
STRICT = ("README.md", "CONTRIBUTING.md", "scripts/README.md", "tests/README.md")
# Made by building or running, so not there in a clean clone.
MADE = ("build/", "out/")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"\.?[\w.-]+(/[\w.-]+)*/?")
PLACEHOLDER = re.compile(r"(^|/)[A-Z_]+(/|$)")  # ROOM/src
PRESET = re.compile(r"--preset[ =](\w+)")


def documents(tree):
    for path in tree.files(".md"):
        text = path.read_text(encoding="utf-8")
        yield path, tree.relative(path), text


def check_links(tree):
    """Links of every document that lead into the tree lead somewhere."""
    for path, name, text in documents(tree):
        in_block = False
        for number, line in enumerate(text.splitlines(), 1):
            in_block ^= line.startswith("```")
            for target in [] if in_block else LINK.findall(line):
                if "://" not in target and not (path.parent / target).exists():
                    yield tree.finding(name, number, f"leads nowhere: {target}")


def first_words(text):
    """(line, word) for the words of code spans and code blocks that may be paths."""
    in_block = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            in_block = line.startswith("```sh") and not in_block
            continue
        for code in [line.split("#")[0]] if in_block else CODE.findall(line):
            yield from ((number, word) for word in code.split())


def looks_like_path(word, top):
    if not PATH.fullmatch(word) or word.startswith(MADE) or PLACEHOLDER.search(word):
        return False
    return "/" in word or word in top or word.endswith((".md", ".sh", ".py", ".txt"))


def check_paths(tree):
    """Files, folders, presets and scripts that a reader is told to use are there."""
    top = {entry.name for entry in tree.root.iterdir()}
    presets = tree.root / "CMakePresets.json"
    known = {p["name"] for p in json.loads(presets.read_text(encoding="utf-8"))["configurePresets"]
             } if presets.is_file() else set()
    for path, name, text in documents(tree):
        if name not in STRICT:
            continue
        for number, word in first_words(text):
            if looks_like_path(word, top) and not ((tree.root / word).exists() or (path.parent / word).exists()):
                yield tree.finding(name, number, f"does not exist: {word}")
        for number, line in enumerate(text.splitlines(), 1):
            for preset in PRESET.findall(line):
                if preset not in known:
                    yield tree.finding(name, number, f"no such preset: {preset}")
