"""What public headers say of symbols: a shared library exports what they declare, and no more."""

import re

from .tree import LIBRARY

PUSH = "#pragma GCC visibility push(default)"
POP = "#pragma GCC visibility pop"


def unmarked_namespaces(source):
    """Lines of a C++ header that open a namespace outside of PUSH and POP, or include inside."""
    inside = False
    for number, line in enumerate(source.bare.splitlines(), 1):
        if line.strip() in (PUSH, POP):
            if inside == (line.strip() == PUSH):
                yield number, f"`{line.strip()}` twice in a row"
            inside = line.strip() == PUSH
        elif re.match(r"(inline\s+)?namespace\b", line) and not inside:
            yield number, f"a namespace of a public header begins after `{PUSH}`"
        elif re.match(r"\s*#\s*include\b", line) and inside:
            yield number, "an include lies outside of what is marked as public"
    if inside:
        yield len(source.text.splitlines()), f"`{POP}` is missing"


def unmarked_functions(source):
    """Lines of a C header that declare a function without ZERO_PUBLIC."""
    text = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m[0]), source.bare,
                  flags=re.MULTILINE)
    text = re.sub(r"\bextern\s*\{", lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    depth, begin = 0, 0
    for match in re.finditer(r"[{};]", text):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth = max(depth - 1, 0)  # the last one closes extern "C"
        if depth or match[0] == "{":
            continue
        statement = text[begin:match.start()]
        begin = match.end()
        words = statement.split()
        if words[:2] == ["static", "inline"]:  # the client's own copy
            continue
        if "(" in statement and words[0] not in ("ZERO_PUBLIC", "typedef"):
            at = match.start() - len(statement.lstrip())
            yield source.line_at(at), "a function of the C interface begins with ZERO_PUBLIC"


def check_exports(tree):
    """Public headers mark what a shared library exports, around namespaces and before functions."""
    for source in tree.sources():
        if not source.is_public or source.room not in LIBRARY:
            continue
        unmarked = unmarked_functions if source.path.endswith(".h") else unmarked_namespaces
        for line, text in unmarked(source):
            yield source.finding(line, text)
