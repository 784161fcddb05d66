"""Words that a room must not know, names that say nothing, and calls a library must not make.

All three look at code: identifiers, file names and, for words, string literals. Comments are left
out, since a room may well explain what it is for.
"""

import re

from .tree import LIBRARY, SOURCE_SUFFIXES

# Words no identifier of a room may have as a part, in the singular; the plural is meant too.
FORBIDDEN = {
    "optim": ("world", "rank", "stage", "cuda", "nccl"),
    "partition": ("cuda", "nccl", "stream", "thread", "stage"),
    "collectives": ("stage", "shard", "gradient", "optimizer"),
    "offload": ("stage", "rank", "gradient"),
    "engine": ("cuda", "nccl", "mpi"),
}
# The one table in which stages have numbers.
TABLE_OF_STAGES = ("partition/include/zero/partition/sharding_policy.hpp",
                   "partition/src/sharding_policy.cpp")
# Files of a backend may say whose backend they are.
OWN_FOLDER = {"cuda": ("_cuda.", "/cuda/", "/cuda.hpp"), "nccl": ("/nccl/", "/nccl.hpp"),
              "mpi": ("/mpi/", "/mpi.hpp")}

EMPTY_NAMES = ("manager", "helper", "utils", "util", "handler", "wrapper", "context", "info",
               "data")
ALLOWED_TYPES = ("corrupt_data",)  # it says which data, and what of them
# One file a subcommand: `zero info` is the contract's name.
ALLOWED_FILES = re.compile(r"(libzero|tests)/cli/(.*/)?info(_test)?\.[ch]pp")

IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
TYPE = re.compile(r"\b(?:class|struct|union|enum(?:\s+(?:class|struct))?|using|concept|namespace)"
                  r"\s+(?:\[\[.*?\]\]\s*)?([A-Za-z_]\w*)")
FORBIDDEN_CALLS = re.compile(
    r"(?<![\w.>:])(?:std::|::)?(exit|_exit|_Exit|quick_exit|abort|terminate|v?f?printf|puts|fputs|"
    r"putchar|fputc|perror|system)\s*\("
    r"|\bstd::(cout|cerr|clog|wcout|wcerr)\b|\b(stdout|stderr)\b|<(iostream|print)>")
# What stands before the name where a member of that name is declared: a type, not a statement.
DECLARATION = re.compile(r"(?<!\breturn)(?<!\belse)(?<!\bdo)(?<=[\w>&*])[ \t]+$")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def parts(identifier):
    """The words of an identifier: snake_case and CamelCase, lower-cased, plurals too."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", identifier)
    for word in spaced.lower().split("_"):
        yield word
        if word.endswith("s"):
            yield word[:-1]


def allowed_word(source, word, identifier):
    if identifier.startswith("__"):
        return True  # the compiler's own
    if word == "stage" and source.path in TABLE_OF_STAGES:
        return True
    if word == "shard" and source.room == "collectives":
        return identifier == "shard"  # the name of a parameter, and no more than that
    return any(mark in source.path for mark in OWN_FOLDER.get(word, ()))


def check_words(tree):
    """No identifier, string or file name of a room says a word that is another room's."""
    for source in tree.sources():
        forbidden = FORBIDDEN.get(source.room, ())
        for word in forbidden:
            if word in parts(source.stem) and not allowed_word(source, word, source.stem):
                yield source.finding(1, f"{source.room} may not say '{word}' (file name)")
        for match in IDENTIFIER.finditer(source.code):
            for word in set(parts(match[0])).intersection(forbidden):
                if not allowed_word(source, word, match[0]):
                    yield source.finding(source.line_at(match.start()),
                                         f"{source.room} may not say '{word}': {match[0]}")


def check_names(tree):
    """No type, namespace or file is called manager, helper, utils and the like."""
    for path in tree.files(*SOURCE_SUFFIXES, ".py", ".sh", ".cmake"):
        name = tree.relative(path)
        bad = set(parts(path.stem.replace("-", "_"))).intersection(EMPTY_NAMES)
        if bad and not ALLOWED_FILES.fullmatch(name):
            yield tree.finding(name, 1, f"a file name that says nothing: {min(bad)}")
    for source in tree.sources():
        for match in TYPE.finditer(source.bare):
            bad = set(parts(match[1])).intersection(EMPTY_NAMES)
            if bad and match[1] not in ALLOWED_TYPES:
                yield source.finding(source.line_at(match.start(1)),
                                     f"a name that says nothing: {match[1]}")


def check_silence(tree):
    """The library neither prints nor ends the process."""
    for source in tree.sources():
        if source.room not in LIBRARY:
            continue
        for match in FORBIDDEN_CALLS.finditer(source.bare):
            line_begin = source.bare.rfind("\n", 0, match.start()) + 1
            if match[1] and DECLARATION.search(source.bare[line_begin:match.start()]):
                continue
            call = next(group for group in match.groups() if group)
            yield source.finding(source.line_at(match.start()),
                                 f"a library does not print or end the process: {call}")


def check_finished(tree):
    """Nothing is marked as to be done later."""
    for source in tree.sources():
        for match in UNFINISHED.finditer(source.text):
            yield source.finding(source.line_at(match.start()), f"unfinished: {match[0]}")
