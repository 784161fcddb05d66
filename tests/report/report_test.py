"""`zero compare` and `zero report` with the real command: what the page holds, what it asks for, what
is refused, and what is left where python or matplotlib is not there.

    report_test.py ZERO BUILD_DIR [unittest options]
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True

from page import Page, requests, wrong_texts  # noqa: E402

ZERO, BUILD = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
TINY = ["--layers", "2", "--channels", "12", "--heads", "2", "--context", "8", "--vocabulary",
        "256", "--steps", "3", "--batch", "2", "--ranks", "2"]
PICTURES = ["Memory of every rank, by class", "Where a step's time went", "Hidden behind computing",
            "Bytes on every link", "Losses", "One step: stage 0", "One step: stage 3, offload nvme"]


def run(*command, **how):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=240, check=False, **how)


def has_matplotlib():
    return any(shutil.which(python) and
               run(python, "-c", "import matplotlib").returncode == 0
               for python in ("python3", "/usr/bin/python3"))


def chromium():
    return next((found for name in ("chromium", "chromium-browser", "google-chrome")
                 if (found := shutil.which(name))), None)


class Compared(unittest.TestCase):
    """With a small comparison that was made by the command."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="zero report ")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        (cls.folder / "text").write_text("a line <b>&amp; another\n" * 40, encoding="utf-8")
        cls.compared = run(ZERO, "compare", *TINY, "--stages", "0,3", "--offload", "none,nvme",
                           "--nvme-path", cls.folder, "--text", cls.folder / "text", "--output",
                           cls.folder / "out")
        cls.json = cls.folder / "out" / "compare.json"
        cls.page = cls.folder / "out" / "report.html"

    def read(self, page=None):
        return Page((page or self.page).read_text(encoding="utf-8"))

    def report(self, *arguments, **how):
        return run(how.pop("zero", ZERO), "report", *arguments, **how)

    def refused(self, ran, *parts):
        self.assertEqual(ran.returncode, 2, ran.stderr)
        self.assertEqual(ran.stderr.count("\n"), 1, ran.stderr)
        for part in parts:
            self.assertIn(part, ran.stderr)


class Pages(Compared):
    def test_compare_writes_the_page(self):
        self.assertEqual(self.compared.returncode, 0, self.compared.stderr)
        self.assertIn(f"{self.folder}/out/report.html\n", self.compared.stdout)
        page = self.read()
        self.assertEqual(requests(page), [])
        self.assertEqual(len(page.ids), len(set(page.ids)), "two elements with one id")
        self.assertIn("default-src 'none'", page.text)
        self.assertIn("prefers-color-scheme: dark", page.text)
        self.assertIn("@media print", page.text)

    def test_every_number_is_found_in_the_json(self):
        wrong, right = wrong_texts(self.read(), [self.json])
        self.assertEqual(wrong, [])
        self.assertGreater(right, 100)

    def test_the_check_of_numbers_sees_a_wrong_one(self):
        text = self.page.read_text(encoding="utf-8")
        loss = json.loads(self.json.read_text(encoding="utf-8"))["runs"][0]["losses"][-1]
        self.assertIn(f"{loss:.6f}", text)
        for changed in (text.replace(f"{loss:.6f}", f"{loss + 1e-5:.6f}"),
                        text.replace("<h1>", "<h1>7 ")):
            self.assertNotEqual(wrong_texts(Page(changed), [self.json])[0], [])
        asking = Page(text.replace("</body>", '<img src="http://example.org/x.png"></img></body>'))
        self.assertEqual(len(requests(asking)), 1)

    def test_report_draws_the_same_page_again(self):
        again = self.folder / "again.html"
        ran = self.report(self.json, "--output", again)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(ran.stdout, f"{again}\n")
        self.assertEqual(again.read_bytes(), self.page.read_bytes())

    def test_several_files_beside_each_other(self):
        ran = self.report(self.json, self.json, cwd=self.folder)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(ran.stdout, "report.html\n")
        page = self.read(self.folder / "report.html")
        self.assertEqual(requests(page), [])
        wrong, right = wrong_texts(page, [self.json, self.json])
        # Names of the files themselves are no figures.
        self.assertEqual([text for text in wrong if str(self.json) not in text], [])
        self.assertGreater(right, 200)
        self.assertIn("B: ", page.text)

    def test_what_is_refused(self):
        self.refused(self.report(), "FILE.json")
        self.refused(self.report(self.folder / "none.json"), "none.json", "No such file")
        self.refused(self.report(self.folder), "directory")
        self.refused(self.report(self.json, "--frame"), "--frame")
        self.refused(self.report(self.json, "--output", self.json), "--output")
        self.refused(self.report(self.json, "--output", self.folder / "no" / "x.html"), "--output")
        whole = json.loads(self.json.read_text(encoding="utf-8"))
        broken = {"empty": "", "cut": self.json.read_text(encoding="utf-8")[:1000],
                  "list": "[]", "number": "3", "no_schema": json.dumps({"runs": []}),
                  "later": json.dumps({**whole, "schema": "zero.compare/2"}),
                  "run": json.dumps({**whole, "schema": "zero.run/1"}),
                  "no_runs": json.dumps({**whole, "runs": None}),
                  "empty_runs": json.dumps({**whole, "runs": []}),
                  "odd_runs": json.dumps({**whole, "runs": [{"stage": 1}]}),
                  "no_machine": json.dumps({k: v for k, v in whole.items() if k != "machine"})}
        for name, text in broken.items():
            with self.subTest(name):
                bad = self.folder / f"{name}.json"
                bad.write_text(text, encoding="utf-8")
                page = self.folder / f"{name}.html"
                self.refused(self.report(bad, "--output", page), f"{name}.json")
                self.assertFalse(page.exists())
        self.refused(self.report(self.folder / "later.json"), "zero.compare/2", "zero.compare/1")
        os.mkfifo(self.folder / "pipe.json")  # nobody will ever write
        self.refused(self.report(self.folder / "pipe.json"), "not a regular file")
        with open(self.folder / "large.json", "wb") as large:
            large.truncate(2**30)
        self.refused(self.report(self.folder / "large.json"), "more than")

    def moved(self, name, draw):
        """The command elsewhere, with another drawing program beside it, or none."""
        place = self.folder / name
        (place / "bin").mkdir(parents=True)
        shutil.copy(ZERO, place / "bin" / "zero")
        if draw is not None:
            beside = place / "share" / "libzero" / "report"
            beside.mkdir(parents=True)
            (beside / "draw.py").write_text(draw, encoding="utf-8")
        return place / "bin" / "zero"

    def test_without_pictures_the_page_has_the_tables(self):
        cases = {"none": (None, "draw.py is not there"),
                 "matplotlib": ("raise SystemExit(77)", "python3-matplotlib"),
                 "failing": ("raise ValueError('of no use')", "of no use"),
                 "silent": ("", "without figures")}
        for name, (draw, said) in cases.items():
            with self.subTest(name):
                page = self.folder / f"{name}.html"
                ran = self.report(self.json, "--output", page, zero=self.moved(name, draw))
                self.assertEqual(ran.returncode, 0, ran.stderr)
                self.assertEqual(ran.stderr.count("\n"), 1, ran.stderr)
                self.assertIn(said, ran.stderr)
                self.assertIn("tables only", page.read_text(encoding="utf-8"))
                wrong, right = wrong_texts(self.read(page), [self.json])
                self.assertEqual([w for w in wrong if "draw.py" not in w and "python3" not in w], [])
                self.assertGreater(right, 100)
                self.assertNotIn("<svg", page.read_text(encoding="utf-8"))

    def test_without_python_as_well(self):
        if Path("/usr/bin/python3").exists():
            self.skipTest("there is a /usr/bin/python3, whatever PATH says")
        ran = self.report(self.json, "--output", self.folder / "x.html", env={"PATH": "/nowhere"})
        self.assertIn("python3-matplotlib", ran.stderr)

    def test_what_is_installed_draws(self):
        prefix = self.folder / "installed there"
        ran = run("cmake", "--install", BUILD, "--component", "tools", "--prefix", prefix)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        page = self.folder / "installed.html"
        ran = self.report(self.json, "--output", page, zero=prefix / "bin" / "zero")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertNotIn("is not there", ran.stderr)
        self.assertEqual(page.read_bytes(), self.page.read_bytes())


class Pictures(Compared):
    def setUp(self):
        if not has_matplotlib():
            self.skipTest("python3 with matplotlib is not here")

    def test_all_are_there(self):
        text = self.page.read_text(encoding="utf-8")
        self.assertNotIn("no pictures", text)
        for title in PICTURES:
            self.assertIn(f'aria-label="{html.escape(title)}"', text)
        for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
            self.assertNotIn("<image", svg)
            self.assertNotRegex(svg, r"#f[ed]\d\d", "a colour that stands for a name")
        for verb in ("fetch", "gather", "release", "reduce", "clip", "update", "publish", "spill"):
            self.assertIn(verb, [shown for shown, _, _, _ in self.read().texts])

    def test_patterns_that_are_used_are_there(self):
        text = self.page.read_text(encoding="utf-8")
        named = set(re.findall(r"url\(#([^)]*)\)", text))
        self.assertGreater(len(named), 10)
        self.assertEqual(named - set(self.read().ids), set())


class Browser(Compared):
    def setUp(self):
        if not chromium():
            self.skipTest("no Chromium here")

    def console(self, page, scheme):
        """What the browser says of the page on its console."""
        ran = run(chromium(), "--headless=new", "--no-sandbox", "--disable-gpu",
                  "--enable-logging=stderr", "--disable-background-networking",
                  f"--user-data-dir={self.folder}/chromium",
                  f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom", page.as_uri())
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("</html>", ran.stdout)
        return [line for line in ran.stderr.splitlines() if "CONSOLE" in line]

    def test_opens_it_without_an_error_or_a_request(self):
        for scheme in (0, 1):
            self.assertEqual(self.console(self.page, scheme), [])

    def test_would_tell_of_a_request(self):
        asking = self.folder / "asking.html"
        asking.write_text(self.page.read_text(encoding="utf-8").replace(
            "</body>", '<img src="none.png"></body>'), encoding="utf-8")
        self.assertNotEqual(self.console(asking, 1), [])


if __name__ == "__main__":
    ended = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], exit=False).result
    for _, reason in ended.skipped:
        print(f"skipped: {reason}")
    if not ended.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if ended.testsRun == len(ended.skipped) else 0)
