"""scripts/quickstart.sh in a clone whose set-up, cmake and `zero` are stand-ins that record how they
were called: which options reach `zero compare`, what is left behind, what a failure becomes."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

ZERO = """#!/bin/bash
printf '%s\\n' "$@" > "$CALLS/zero"
while [ $# -gt 0 ] && [ "$1" != --output ]; do shift; done
echo "the table"
echo "progress" >&2
[ "$ZERO_CODE" = 0 ] && mkdir -p "$2" && echo '{}' > "$2/compare.json"
exit "$ZERO_CODE"
"""


class QuickstartTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.clone = Path(folder.name, "a clone").resolve()
        self.scripts = self.clone / "scripts"
        self.scripts.mkdir(parents=True)
        for name in ("quickstart.sh", "build_settings.sh"):
            shutil.copy(ROOT / "scripts" / name, self.scripts)
        self.command("scripts/setup.sh", '#!/bin/bash\necho "$*" > "$CALLS/setup"\n')
        self.command("build/release/bin/zero", ZERO)
        self.command("fake/cmake", '#!/bin/bash\necho "$*" >> "$CALLS/cmake"\nexit ${CMAKE_CODE-0}\n')

    def command(self, name, text):
        path = self.clone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def quickstart(self, *options, cwd=None, **environment):
        path = f"{self.clone / 'fake'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run([self.scripts / "quickstart.sh", *options], cwd=cwd or self.clone,
                              env={"PATH": path, "CALLS": str(self.clone), "ZERO_CODE": "0",
                                   **environment}, capture_output=True, text=True, check=False)

    def called(self, name):
        return (self.clone / name).read_text(encoding="utf-8").splitlines()

    def test_the_main_job(self):
        ran = self.quickstart()
        out = self.clone / "out" / "quickstart"
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(self.called("setup"), ["build"])
        self.assertEqual(self.called("zero"),
                         ["compare", "--ranks", "4", "--stages", "0,1,2,3", "--model", "gpt-3m",
                          "--steps", "20", "--output", str(out)])
        self.assertEqual((out / "table.txt").read_text(encoding="utf-8"), "the table\n")
        self.assertEqual(ran.stdout.splitlines()[-2:],
                         [f"table   {out}/table.txt", f"JSON    {out}/compare.json"])

    def test_options_replace_defaults_and_pass_through(self):
        there = self.clone / "there"
        there.mkdir()
        ran = self.quickstart("--steps=5", "--dtype", "bf16", "--output", "my out", cwd=there)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(self.called("zero"),
                         ["compare", "--steps=5", "--dtype", "bf16", "--output", "my out",
                          "--ranks", "4", "--stages", "0,1,2,3", "--model", "gpt-3m"])
        self.assertTrue((there / "my out" / "table.txt").is_file())

    def test_a_run_that_fails(self):
        ran = self.quickstart(ZERO_CODE="4")
        self.assertEqual(ran.returncode, 4)
        self.assertNotIn("table   ", ran.stdout)
        self.assertFalse((self.clone / "out").exists())

    def test_a_build_that_fails(self):
        self.assertEqual(self.quickstart(CMAKE_CODE="1").returncode, 1)
        self.assertFalse((self.clone / "zero").exists())

    def test_a_set_up_that_fails(self):
        self.command("scripts/setup.sh", "#!/bin/bash\nexit 1\n")
        self.assertEqual(self.quickstart().returncode, 1)
        self.assertFalse((self.clone / "cmake").exists())

    def test_tests_are_built_only_by_a_tree_that_builds_them_already(self):
        self.quickstart()
        self.assertIn("-DZERO_TESTS=OFF", self.called("cmake")[0])
        (self.clone / "build/release/build.ninja").touch()
        self.quickstart()
        self.assertNotIn("-DZERO_TESTS=OFF", self.called("cmake")[2])

    def test_help_does_nothing(self):
        self.assertEqual(self.quickstart("--help").returncode, 0)
        self.assertFalse((self.clone / "setup").exists())


if __name__ == "__main__":
    unittest.main()
