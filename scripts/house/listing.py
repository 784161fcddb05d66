"""Every file is part of a build, every header begins as headers do here."""

import re
from functools import lru_cache
from pathlib import Path

from .tree import LIBRARY


@lru_cache(maxsize=None)
def named_in(cmake_file):
    """Words of a CMakeLists.txt, comments left out."""
    text = re.sub(r"#.*", "", cmake_file.read_text(encoding="utf-8"))
    return frozenset(re.split(r'[\s"();]+', text))


def is_listed(root, path):
    for folder in path.parents:
        cmake_file = folder / "CMakeLists.txt"
        if cmake_file.is_file():
            spelled = path.relative_to(folder).as_posix()
            if any(word == spelled or word.endswith("/" + spelled) for word in named_in(cmake_file)):
                return True
        if folder == root:
            return False
    return False


def check_listed(tree):
    """Every .cpp and .hpp of a room, of bench and of tests is named in a CMakeLists.txt."""
    for source in tree.sources():
        if not is_listed(tree.root, tree.root / source.path):
            yield source.finding(1, "named in no CMakeLists.txt above it: it is built by nothing")
    named_in.cache_clear()


def check_globs(tree):
    """The library's own build names its files one by one."""
    for path in tree.files("CMakeLists.txt", ".cmake"):
        name = tree.relative(path)
        if name.startswith("tests/consumer/project/"):
            continue  # a client's project, which looks at what was installed
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.match(r"[^#]*\bGLOB(_RECURSE)?\b", line):
                yield tree.finding(name, number, "files are listed, not globbed")


def check_heads(tree):
    """A header of the library begins with #pragma once, then says what it is."""
    for source in tree.sources():
        if not source.is_header or source.room not in LIBRARY:
            continue
        lines = source.text.splitlines() + ["", ""]
        # Highway includes -inl.hpp once for each target, so these have no #pragma once.
        once = not source.stem.endswith("-inl")
        if once and lines[0] != "#pragma once":
            yield source.finding(1, "a header begins with #pragma once")
        if not lines[once].startswith("//"):
            yield source.finding(1, "the head of the file does not say what it is")


def check_readmes(tree):
    """Every room that is there has a README."""
    for path in tree.files("CMakeLists.txt"):
        folder = Path(tree.relative(path)).parent
        if (path.parent / "include").is_dir() and not (path.parent / "README.md").is_file():
            yield tree.finding(folder.as_posix(), 1, "a room without README.md")
