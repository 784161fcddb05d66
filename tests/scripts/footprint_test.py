"""scripts/footprint.sh: the models it tries, what it finds with the real command, and that it sees
bytes that were not predicted and budgets that are not kept.

    footprint_test.py ZERO
"""

import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ZERO = Path(sys.argv.pop(1)).resolve()
MEBI = 1 << 20

sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench" / "footprint"))
models = importlib.import_module("models")

# The real command, but for what it says it measured, or for budgets.
LIAR = f"""#!{sys.executable}
import json, subprocess, sys
words = sys.argv[1:]
if "train" in words and {{generous}} and "--memory-budget" in words:
    at = words.index("--memory-budget")
    del words[at:at + 2]
ran = subprocess.run([{str(ZERO)!r}, *words])
if "train" in words and {{lies}} and ran.returncode == 0:
    path = words[words.index("--json") + 1]
    lines = open(path).read().splitlines()
    last = json.loads(lines[-1])
    last["memory"][0]["measured"]["buffers"] += 1
    open(path, "w").write("\\n".join([*lines[:-1], json.dumps(last)]))
sys.exit(ran.returncode)
"""


class ModelsTest(unittest.TestCase):
    def test_each_holds_more_than_the_one_before(self):
        found = [models.member(n) for n in range(400)]
        self.assertEqual(found[0], models.Model(1, 1))
        for before, after in zip(found, found[1:]):
            self.assertLess(before.parameters, after.parameters)
            self.assertLess(after.parameters / before.parameters, 3)
            self.assertIn(after.heads - before.heads, (0, 1))
        self.assertLess(found[-1].parameters / found[-2].parameters, 1.05)

    def test_parameters_are_counted_as_the_trainer_has_them(self):
        for number in (0, 7, 30):
            model = models.member(number)
            said = subprocess.run([ZERO, "plan", *model.options, "--json"], capture_output=True,
                                  text=True, check=True).stdout
            self.assertEqual(json.loads(said)["model"]["parameters"], model.parameters)

    def test_the_largest_that_fits_is_found(self):
        for last in (0, 1, 2, 3, 7, 8, 100, 1023, models.MEMBERS - 2, models.MEMBERS - 1):
            tried = []

            def fits(number, last=last, tried=tried):
                tried.append(number)
                return number <= last

            self.assertEqual(models.largest(fits), last)
            self.assertLess(max(tried), models.MEMBERS)
            self.assertLess(len(tried), 40)
        self.assertIsNone(models.largest(lambda number: False))


class SweepTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="footprint test ")
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def sweep(self, *arguments, zero=ZERO):
        return subprocess.run([ROOT / "scripts" / "footprint.sh", "--zero", zero, "--out",
                               self.folder / "out", "--nvme-path", self.folder, *arguments],
                              capture_output=True, text=True, check=False)

    def record(self):
        return json.loads((self.folder / "out" / "footprint.json").read_text(encoding="utf-8"))

    def liar(self, **how):
        program = self.folder / "zero"
        program.write_text(LIAR.format(**{"lies": False, "generous": False, **how}),
                           encoding="utf-8")
        program.chmod(0o755)
        return program

    def test_what_fits_is_measured_and_what_does_not_is_refused(self):
        ran = self.sweep("--quick")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        record = self.record()
        self.assertEqual((record["schema"], record["quick"]), ("zero.footprint/1", True))
        rows = [row for row in record["rows"] if row["of"] == "memory"]
        self.assertEqual(len(rows), 2 * 2 * 3)  # ranks, stages, tiers
        for row in rows:
            self.assertTrue(row["measured"]["equal"] and row["refused"], row)
            self.assertLessEqual(row["measured"]["measured"]["peak"], row["budget"])
        # Nothing sharded, all in memory: 2 bytes of each parameter and gradient and 12 of states,
        # rounded up, and buffers beside them.
        row = next(r for r in rows if (r["ranks"], r["stage"], r["tier"]) == (1, 0, "none"))
        state = 16 * row["largest"]["parameters"]
        self.assertLess(state, 3 * MEBI)
        self.assertGreater(16 * models.Model(row["largest"]["layers"] + 1,
                                             row["largest"]["heads"]).parameters, 0.75 * 3 * MEBI)
        held = row["measured"]["measured"]
        self.assertTrue(0 <= held["parameters"] + held["gradients"] + held["optimizer"] - state
                        < 8192)
        text = (self.folder / "out" / "footprint.md").read_text(encoding="utf-8")
        self.assertIn("16 of these were trained", text)
        self.assertIn("it was refused with 12.", text)
        self.drawn(ran)

    def drawn(self, ran):
        can = any(shutil.which(python) and subprocess.run(
            [python, "-c", "import matplotlib"], capture_output=True, check=False).returncode == 0
            for python in ("python3", "/usr/bin/python3"))
        picture = self.folder / "out" / "footprint.png"
        self.assertEqual(picture.exists(), can)
        self.assertEqual("no picture: matplotlib is not here" in ran.stderr, not can)
        if can:
            self.assertEqual(picture.read_bytes()[:4], b"\x89PNG")

    def test_bytes_that_were_not_predicted_are_told(self):
        ran = self.sweep("--quick", "--ranks", "1", zero=self.liar(lies=True))
        self.assertEqual(ran.returncode, 1)
        self.assertIn("measured bytes are not the predicted ones", ran.stderr)
        self.assertIn("!", (self.folder / "out" / "footprint.md").read_text(encoding="utf-8"))

    def test_a_budget_that_is_not_kept_is_told(self):
        ran = self.sweep("--quick", "--ranks", "1", zero=self.liar(generous=True))
        self.assertEqual(ran.returncode, 1)
        self.assertIn("the next larger model is not refused", ran.stderr)

    def test_what_this_machine_does_not_hold_is_not_run(self):
        ran = self.sweep("--quick", "--ranks", "1", "--most-memory", "1MiB")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        rows = [row for row in self.record()["rows"] if row["of"] == "memory"]
        self.assertEqual({(row["not_run"], row["measured"]) for row in rows}, {("memory", None)})
        self.assertTrue(all(row["refused"] for row in rows))

    def test_wrong_usage(self):
        for arguments, said in ((["--budgets", "many"], "--budgets"), (["--ranks", "0"], "--ranks"),
                                (["--out"], "a value is missing"), (["--what"], "--what")):
            ran = self.sweep(*arguments)
            self.assertEqual(ran.returncode, 2, arguments)
            self.assertIn(said, ran.stderr)
        self.assertEqual(self.sweep(zero=self.folder / "none").returncode, 2)
        self.assertFalse((self.folder / "out").exists())

    def test_a_command_that_fails_is_told(self):
        program = self.folder / "zero"
        program.write_text("#!/bin/sh\necho broken >&2\nexit 1\n", encoding="utf-8")
        program.chmod(0o755)
        ran = self.sweep("--quick", zero=program)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("zero plan: broken", ran.stderr)
        ran = self.sweep("--quick", zero="/bin/true")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("printed no JSON", ran.stderr)
        self.assertNotIn("Traceback", ran.stderr)


if __name__ == "__main__":
    unittest.main()
