"""The API reference is generated without a warning, and has in it what public headers declare and
say in comments.

    docs_test.py DOXYGEN DOXYFILE SOURCE_DIR
"""

import html
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

DOXYGEN, DOXYFILE, SOURCE_DIR = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(SOURCE_DIR, "scripts")))
from docs.comments import convert  # noqa: E402
from house.tree import Tree  # noqa: E402


def run_doxygen(folder, *settings):
    """Doxygen with the project's own settings but for where it writes to."""
    text = Path(DOXYFILE).read_text(encoding="utf-8")
    lines = [text, f'OUTPUT_DIRECTORY = "{folder}"', f'GENERATE_TAGFILE = "{folder}/zero.tag"',
             *settings]
    return subprocess.run([DOXYGEN, "-"], input="\n".join(lines), capture_output=True, text=True,
                          check=False, cwd=folder)


class Reference(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.ran = run_doxygen(cls.folder.name)
        cls.tags = Path(cls.folder.name, "zero.tag").read_text(encoding="utf-8")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def page(self, name):
        text = Path(self.folder.name, "html", name).read_text(encoding="utf-8")
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", text)))

    def test_without_a_warning(self):
        self.assertEqual((self.ran.returncode, self.ran.stderr), (0, ""))

    def test_everything_public_is_in_it(self):
        tags = set(re.findall(r"<name>([^<]+)</name>", self.tags))
        absent, looked_for = [], 0
        for source in Tree(SOURCE_DIR).sources():
            if not source.is_public:
                continue
            names = re.findall(r"^ZERO_PUBLIC\b[^;(]*?(\w+)\s*\(", source.bare, re.MULTILINE)
            space = re.search(r"^namespace ([\w:]+) \{", source.bare, re.MULTILINE)
            names += [f"{space[1]}::{name}" for name in re.findall(
                r"^(?:class|struct) (\w+)[^;]*?\{", source.bare, re.MULTILINE)] if space else []
            looked_for += len(names)
            absent += [f"{source.path}: {name}" for name in names if name not in tags]
        self.assertGreater(looked_for, 100)
        self.assertEqual(absent, [])

    def test_comments_are_in_it(self):
        page = self.page("classzero_1_1sharded__optimizer.html")
        self.assertIn("this rank's gradients of the unit are final for this micro-batch", page)
        page = self.page("structzero_1_1engine__options.html")
        self.assertIn("units gathered ahead of the one in use", page)
        self.assertIn("one rank's share of parameters", self.page("sharded__optimizer_8hpp.html"))
        self.assertIn("the same on all ranks", self.page("zero_8h.html"))

    def test_a_warning_is_a_failure(self):
        with tempfile.TemporaryDirectory() as folder:
            wrong = Path(folder, "wrong.h")
            wrong.write_text("/** @file */\n/** @param b there is none */\nint f(int a);\n",
                             encoding="utf-8")
            ran = run_doxygen(folder, f'INPUT = "{wrong}"')
        self.assertNotEqual(ran.returncode, 0)
        self.assertIn("argument 'b'", ran.stderr)


class Comments(unittest.TestCase):
    """The input filter by itself."""

    def test_heads_and_declarations(self):
        before = ("#pragma once\n// What <it> is.\n\nnamespace a {\n// Adds b_c.\nint f(int x);\n"
                  "int g;  // 3 < 4,\n        // not `5 < 4`\n// ---- part ----\n\n// Alone.\n\n"
                  "int h() {\n  // inside\n  return 1;  // too\n}\n}  // namespace a\n")
        after = ("/// @file\n/// What \\<it\\> is.\n\nnamespace a {\n/// Adds b_c.\nint f(int x);\n"
                 "int g;  ///< 3 \\< 4,\n        ///< not `5 < 4`\n// ---- part ----\n\n// Alone.\n\n"
                 "int h() {\n  // inside\n  return 1;  // too\n}\n}  // namespace a\n")
        self.assertEqual(convert(before), after)

    def test_every_line_keeps_its_number(self):
        for source in Tree(SOURCE_DIR).sources():
            if source.is_public:
                self.assertEqual(convert(source.text).count("\n"), source.text.count("\n"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
