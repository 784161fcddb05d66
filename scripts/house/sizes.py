"""Files that can be read at one sitting, and functions that can be seen at one glance."""

import ast
import re

FUNCTION_LINES = 70
# The first pattern that fits a path gives its limit in lines.
FILE_LINES = (
    (r"README\.md|.*/README\.md", 150),
    (r"CMakeLists\.txt", 160),
    (r".*/CMakeLists\.txt", 60),
    (r".*\.cmake", 160),
    (r"bench/(?!trainer/).*\.[ch]pp", 300),
    (r".*\.(hpp|h|cuh)", 250),
    (r".*\.(cpp|c|cu|py|sh)", 400),
)
MARKS = "#pragma GCC visibility"  # the same two lines in every public header, not counted
SUFFIXES = ("README.md", "CMakeLists.txt", ".cmake", ".hpp", ".h", ".cuh", ".cpp", ".c", ".cu",
            ".py", ".sh")

# What a `{` outside of any function opens, told by the text before it.
ACCESS = re.compile(r"\b(public|private|protected)\s*:(?!:)")
ATTRIBUTES = re.compile(r"\balignas\s*\([^()]*\)|\[\[.*?\]\]|__attribute__\s*\(\(.*?\)\)",
                        re.DOTALL)
SCOPE = re.compile(r"(^|[\s>;])(namespace|class|struct|union|enum|extern)\b[^()]*$")
CONSTRUCTOR = re.compile(r"\)\s*(noexcept\s*(\([^()]*\))?\s*)?(?<!:):(?!:)")


def limit_of(path):
    return next((limit for pattern, limit in FILE_LINES if re.fullmatch(pattern, path)), None)


def check_file_sizes(tree):
    """No file is longer than its kind may be."""
    for path in tree.files(*SUFFIXES):
        name = tree.relative(path)
        limit = limit_of(name)
        text = path.read_text(encoding="utf-8")
        lines = sum(not line.startswith(MARKS) for line in text.splitlines())
        if limit and lines > limit:
            yield tree.finding(name, lines, f"{lines} lines, {limit} at most")


def opens_function(head):
    """Whether the brace after `head` begins a function's body. None: an initializer's brace."""
    head = ATTRIBUTES.sub(" ", ACCESS.sub(" ", head)).rstrip()
    if ")" not in head or SCOPE.search(head):
        return False
    if CONSTRUCTOR.search(head) and re.search(r"[\w>]$", head):
        return None  # member_{value} in a constructor's list
    return True


def start_of(head):
    """Offset of the first word of a signature: white space and `public:` lie before it."""
    skipped = max((m.end() for m in ACCESS.finditer(head.split("{")[0])), default=0)
    return len(head) - len(head[skipped:].lstrip())


def functions(text):
    """(offset of the first character, offset of the closing brace) of each function body in C++
    text without comments and strings. What is nested in a function counts as part of it."""
    text = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m[0]), text,
                  flags=re.MULTILINE)
    open_braces = []  # (kind, where its head began), kind as opens_function says
    inside = 0        # open braces since the body of a function began
    head_begin = 0
    for match in re.finditer(r"[{};]", text):
        at, mark = match.start(), match[0]
        if inside:
            inside += {"{": 1, "}": -1, ";": 0}[mark]
            if inside == 0:
                _, begin = open_braces.pop()
                yield begin + start_of(text[begin:at]), at
                head_begin = at + 1
        elif mark == "{":
            kind = opens_function(text[head_begin:at])
            open_braces.append((kind, head_begin))
            if kind:
                inside = 1
            elif kind is False:
                head_begin = at + 1
        elif mark == "}":
            kind, _ = open_braces.pop() if open_braces else (False, 0)
            if kind is False:
                head_begin = at + 1
        elif not any(kind is None for kind, _ in open_braces):
            head_begin = at + 1


def check_function_sizes(tree):
    """No function, its signature included, is longer than it may be."""
    for source in tree.sources():
        for begin, end in functions(source.bare):
            first, last = source.line_at(begin), source.line_at(end)
            if last - first + 1 > FUNCTION_LINES:
                yield source.finding(first, f"a function of {last - first + 1} lines, "
                                            f"{FUNCTION_LINES} at most")
    for path in tree.files(".py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield tree.finding(tree.relative(path), node.lineno,
                                       f"a function of {lines} lines, {FUNCTION_LINES} at most")
