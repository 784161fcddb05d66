"""What the rules read: the files of the tree, with comments or strings blanked out.

Blanking keeps every line break, so an offset in the result is on the line it had in the file.
"""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# Where each room lies, in the order they stand on each other.
ROOMS = {
    "base": "libzero/base",
    "optim": "libzero/optim",
    "partition": "partition",
    "collectives": "collectives",
    "offload": "offload",
    "engine": "libzero/engine",
    "checkpoint": "libzero/checkpoint",
    "client": "libzero/client",
    "torch": "libzero/torch",
    "cli": "libzero/cli",
    "examples": "libzero/examples",
    "bench": "bench",
    "tests": "tests",
}
LIBRARY = ("base", "optim", "partition", "collectives", "offload", "engine",
           "checkpoint", "client")
SOURCE_SUFFIXES = (".hpp", ".cpp", ".h", ".c", ".cu", ".cuh")
# Folders that are never ours to read.
SKIPPED = {".git", "build", "out", "__pycache__"}


@dataclass(frozen=True)
class Finding:
    """One line to print: where, what is wrong, and what would be right."""

    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


# Comments, raw strings, strings and characters, in this order. A ' between digits is a separator.
TOKEN = re.compile(
    r"//(?:\\\n|[^\n])*"
    r"|/\*.*?\*/"
    r'|\bu?8?R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def blank(text):
    """Spaces in place of everything but line breaks."""
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    return TOKEN.sub(lambda m: blank(m[0]) if m[0].startswith("/") else m[0], text)


def without_comments_and_strings(text):
    return TOKEN.sub(lambda m: blank(m[0]), text)


class Source:
    """One C++ or C file."""

    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.name = path.name
        self.stem = path.stem
        self.text = path.read_text(encoding="utf-8")
        self.is_header = path.suffix in (".hpp", ".h", ".cuh")
        self.room = next((r for r, d in ROOMS.items() if self.path.startswith(d + "/")), None)

    @property
    def is_public(self):
        return "/include/zero/" in self.path

    @cached_property
    def code(self):
        return without_comments(self.text)

    @cached_property
    def bare(self):
        return without_comments_and_strings(self.text)

    def line_at(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def includes(self):
        """(line, quote, spelled name) of each #include."""
        for match in INCLUDE.finditer(self.code):
            yield self.line_at(match.start(2)), match[1], match[2]

    def finding(self, line, text):
        return Finding(self.path, line, text)


class Tree:
    def __init__(self, root):
        self.root = Path(root).resolve()

    def files(self, *suffixes):
        """Paths of files with one of these endings, sorted, build trees left out."""
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name not in SKIPPED]
            found += [Path(folder, name) for name in names if name.endswith(suffixes)]
        return sorted(found)

    @cached_property
    def _sources(self):
        """Every C++ file in a room."""
        every = (Source(self.root, path) for path in self.files(*SOURCE_SUFFIXES))
        return tuple(source for source in every if source.room)

    def sources(self):
        return self._sources

    def relative(self, path):
        return path.relative_to(self.root).as_posix()

    @staticmethod
    def finding(path, line, text):
        return Finding(path, line, text)
