"""Every file is part of a build, every header begins as headers do here."""

import os
import re
from pathlib import Path

from .tree import LIBRARY, SOURCE_SUFFIXES


def listed_files(tree):
    """Paths, relative to the root, of what the CMakeLists.txt of the tree name."""
    listed = set()
    for path in tree.files("CMakeLists.txt"):
        text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
        # Split before the roots are filled in: they may have blanks in them.
        for word in re.split(r'[\s"();]+', text):
            word = word.replace("${PROJECT_SOURCE_DIR}", str(tree.root))
            word = word.replace("${CMAKE_CURRENT_SOURCE_DIR}", str(path.parent))
            if word.endswith(SOURCE_SUFFIXES) and "$" not in word:
                named = os.path.normpath(path.parent / word)
                listed.add(Path(os.path.relpath(named, tree.root)).as_posix())
    return listed


def private_includes(tree):
    """(including file, name as spelled) of each #include "..."."""
    return [(source.path, name) for source in tree.sources()
            for _, quote, name in source.includes() if quote == '"']


def check_listed(tree):
    """Sources and public headers are named in a CMakeLists.txt, private headers used by someone."""
    listed = listed_files(tree)
    included = private_includes(tree)
    for source in tree.sources():
        if source.path in listed:
            continue
        if not source.is_header or source.is_public:
            yield source.finding(1, "named in no CMakeLists.txt: it is built by nothing")
        elif not any(by != source.path and f"/{source.path}".endswith(f"/{name.lstrip('./')}")
                     for by, name in included):
            yield source.finding(1, "named in no CMakeLists.txt and included by nothing")


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
        if not lines[once].startswith(("//", "/**")):
            yield source.finding(1, "the head of the file does not say what it is")


def check_readmes(tree):
    """Every room that is there has a README."""
    for path in tree.files("CMakeLists.txt"):
        folder = Path(tree.relative(path)).parent
        if (path.parent / "include").is_dir() and not (path.parent / "README.md").is_file():
            yield tree.finding(folder.as_posix(), 1, "a room without README.md")
