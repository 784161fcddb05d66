"""What the shared library exports, seen from outside: its table of symbols is compared with what
the public headers declare, by a reading of those headers that the library was not built with.

    exports_test.py LIBRARY SOURCE_DIR NM [OBJECT...]

OBJECTs are compiled against public headers alone: whatever of the library they need is exported. Not
so kernels of the reference trainer, which take zero::cuda from where rooms share it.
"""

import re
import subprocess
import sys
import unittest
from pathlib import Path

LIBRARY, SOURCE_DIR, NM, *OBJECTS = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(SOURCE_DIR, "scripts")))
from house.tree import Tree  # noqa: E402

OURS = re.compile(r"zero_|_ZNK?4zero(?!4cuda)|_ZT[A-Z]N4zero")
TABLES = re.compile(r"^(vtable|VTT|typeinfo|typeinfo name|construction vtable) for |"
                    r"^(non-virtual|virtual|covariant return) thunk to |^guard variable for ")
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum)\b(?:\s+(?:class|struct))?"
                   r"(?:\s*\[\[.*?\]\])*\s+([\w:]+)\s*(?:final\s*)?(?::(?!:)[^()]*)?$", re.DOTALL)
DECLARED = re.compile(r"(operator\s*(?:\(\s*\)|\[\s*\]|[^\s\w(]+|\w+)|~?\w+)\s*(?=[(;={\[,]|$)")


def symbols(path, *options):
    """Mangled names of one file, without what is appended for their version."""
    ran = subprocess.run([NM, "--format=posix", *options, path], capture_output=True, text=True,
                         check=True)
    return [line.split()[0] for line in ran.stdout.splitlines() if line.split()]


def demangled(names):
    """Without parameters and return types: zero::error::what."""
    ran = subprocess.run([Path(NM).with_name(Path(NM).name.replace("nm", "c++filt")), "-p"],
                         input="\n".join(names), capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


def without_arguments(name):
    """zero::f<int>[abi:cxx11] as zero::f; operator< keeps its name."""
    name = re.sub(r"\[abi:\w+\]", "", name)
    before, word, after = name.partition("operator")
    while re.search(r"<[^<>]*>", before):
        before = re.sub(r"<[^<>]*>", "", before)
    return before + word + after


class Headers:
    """Which names every scope of the public C++ headers declares, and which scopes are classes."""

    def __init__(self, tree):
        self.declared, self.classes, self.functions = {}, set(), set()
        for source in tree.sources():
            if not source.is_public:
                continue
            bare = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", "", source.bare, flags=re.MULTILINE)
            if source.path.endswith(".h"):
                self.functions.update(re.findall(r"\bZERO_PUBLIC\b[^;(]*?(\w+)\s*\(", bare))
            else:
                self.read(bare)

    def read(self, text):
        scopes, begin = [()], 0
        for match in re.finditer(r"[{};]", text):
            head = text[begin:match.start()].strip()
            begin = match.end()
            if match[0] == "}":
                scopes.pop()
                continue
            if scopes[-1] is not None:
                names = DECLARED.findall(head)
                self.declared.setdefault("::".join(scopes[-1]), set()).update(
                    re.sub(r"\s+", "", name) for name in names)
            if match[0] == "{":
                scopes.append(self.opened(scopes[-1], re.sub(r"\b(public|private|protected)\s*:",
                                                             " ", head)))

    def opened(self, scope, head):
        found = SCOPE.search(head)
        if scope is None or not found or found[1] == "enum":
            return None
        inner = scope + tuple(found[2].split("::"))
        if found[1] != "namespace":
            self.classes.add("::".join(inner))
        return inner

    def has(self, name):
        scope, _, last = name.rpartition("::")
        if scope in self.classes and last.lstrip("~") == scope.rpartition("::")[2]:
            return True
        return re.sub(r"\s+", "", last) in self.declared.get(scope, ())


class Exports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.headers = Headers(Tree(SOURCE_DIR))
        cls.versioned = [name for name in symbols(LIBRARY, "-D", "--defined-only")
                         if not name.startswith("LIBZERO_")]
        cls.exported = {name.partition("@")[0] for name in cls.versioned}

    def test_the_headers_were_read(self):
        """The reading knows what it must, or the rest of this would prove nothing."""
        self.assertTrue(self.headers.has("zero::sharded_optimizer::step"))
        self.assertTrue(self.headers.has("zero::parse_bytes"))
        self.assertTrue(self.headers.has("zero::hash128::operator="))
        self.assertFalse(self.headers.has("zero::step"))
        self.assertFalse(self.headers.has("zero::sharded_optimizer::state::step"))
        self.assertIn("zero::error", self.headers.classes)
        self.assertNotIn("zero::sharded_optimizer::state", self.headers.classes)
        self.assertIn("zero_version", self.headers.functions)

    def test_everything_exported_is_declared_in_a_public_header(self):
        self.assertGreater(len(self.exported), 100)
        mangled = sorted(name for name in self.exported if name.startswith("_Z"))
        strangers = sorted(self.exported - set(mangled) - self.headers.functions)
        for name, plain in zip(mangled, demangled(mangled)):
            table = TABLES.match(plain)
            plain = without_arguments(TABLES.sub("", plain))
            known = plain in self.headers.classes if table and table[1] else self.headers.has(plain)
            if not known or not plain.startswith("zero::"):
                strangers.append(f"{plain} ({name})")
        self.assertEqual(strangers, [])

    def test_every_symbol_carries_the_version_of_the_soname(self):
        ran = subprocess.run([Path(NM).with_name(Path(NM).name.replace("nm", "readelf")), "-dW",
                              LIBRARY], capture_output=True, text=True, check=True)
        soname = re.search(r"SONAME.*\[libzero\.so\.(\d+)\]", ran.stdout)
        self.assertTrue(soname, ran.stdout)
        wrong = [name for name in self.versioned if not name.endswith(f"@@LIBZERO_{soname[1]}")]
        self.assertEqual(wrong, [])

    def test_every_function_of_the_c_interface_is_exported(self):
        self.assertGreater(len(self.headers.functions), 2)
        self.assertEqual(sorted(self.headers.functions - self.exported), [])

    def test_what_programs_need_of_the_library_is_exported(self):
        if not OBJECTS:
            self.skipTest("this build is without the command and its trainer")
        needed, own = set(), set()
        for path in OBJECTS:
            needed.update(symbols(path, "--undefined-only"))
            own.update(symbols(path, "--defined-only"))
        needed = {name for name in needed - own if OURS.match(name)}
        self.assertGreater(len(needed), 50)
        self.assertEqual(sorted(demangled(sorted(needed - self.exported))), [])


if __name__ == "__main__":
    ended = unittest.main(argv=sys.argv[:1], exit=False).result
    for _, reason in ended.skipped:
        print(f"skipped: {reason}")
    sys.exit(0 if ended.wasSuccessful() else 1)
