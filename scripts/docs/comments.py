#!/usr/bin/env python3
"""Doxygen's input filter: gives it the comments of our headers in the form it reads.

    comments.py FILE.hpp

The head of a file and comments in front of or behind a declaration become documentation; those in
function bodies and lines such as `// ---- one step ----` do not. What is text in a plain comment
and markup to Doxygen is escaped. C headers, which have its comments already, pass as they are.
Every line keeps its number.
"""

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from house.sizes import functions  # noqa: E402
from house.tree import without_comments_and_strings  # noqa: E402

COMMENT = re.compile(r"(\s*)//(?!/) ?(.*)")
TRAILING = re.compile(r"(.*?[;,}\w\])]\s*)// ?(.*)")
SECTION = re.compile(r"-{3,}")
# After these a comment describes nothing that is declared next.
NO_DECLARATION = re.compile(r"\s*($|#|}|namespace\b|inline namespace\b|(public|private|protected):)")


def escaped(text):
    """Markup characters escaped, but for what is between backticks."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\@#<>%&$*|~])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts) if len(parts) % 2 else text.replace("`", "'")


def lines_of_bodies(text):
    """Numbers, from 0, of lines that lie in a function's body, its first line left out."""
    bare = without_comments_and_strings(text)
    inside = set()
    for begin, end in functions(bare):
        first = bare.count("\n", 0, bare.index("{", begin)) + 1
        inside.update(range(first, bare.count("\n", 0, end) + 1))
    return inside


def convert(text):
    lines = text.split("\n")
    bodies = lines_of_bodies(text)
    out = list(lines)
    column = None  # where the trailing comment began that the next lines may go on with
    at = 0
    while at < len(lines):
        comment = None if at in bodies else COMMENT.fullmatch(lines[at])
        if comment and column is not None and len(comment[1]) == column:
            out[at] = f"{comment[1]}///< {escaped(comment[2])}"
            at += 1
            continue
        column = None
        if not comment:
            trailing = None if at in bodies else TRAILING.fullmatch(lines[at])
            if trailing and not re.search(r"[{(]\s*$|^}", trailing[1]) and '"' not in lines[at]:
                if not trailing[1].startswith(("#", "namespace")):
                    out[at] = f"{trailing[1]}///< {escaped(trailing[2])}"
                    column = len(trailing[1])
            at += 1
            continue
        end = at
        while end < len(lines) and COMMENT.fullmatch(lines[end]):
            end += 1
        head = all(line.startswith("#pragma once") for line in lines[:at])
        follows = lines[end] if end < len(lines) else ""
        if head or not NO_DECLARATION.match(follows):
            for i in range(at, end):
                indent, said = COMMENT.fullmatch(lines[i]).groups()
                out[i] = f"{indent}// {said}" if SECTION.match(said) else f"{indent}/// {escaped(said)}"
            if head and at > 0:
                out[at - 1] = "/// @file"  # in place of #pragma once
        at = end
    return "\n".join(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    path = Path(sys.argv[1])
    source = path.read_text(encoding="utf-8")
    sys.stdout.write(convert(source) if path.suffix == ".hpp" else source)
