"""The LibTorch trainer: it trains as the twin that knows nothing of libzero, at every stage.
torch_trainer_test.py FOLDER_OF_THE_PROGRAMS [unittest's options]"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from programs import start

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "libzero" / "examples" / "torch_trainer"
BIN = Path(sys.argv.pop(1))
STEPS = 12
TOLERANCE = 1e-5  # biases of keys have gradients of rounding alone, of which AdamW makes steps


class SourcesTest(unittest.TestCase):
    def test_the_readme_shows_the_lines_that_differ(self):
        text = (SOURCES / "README.md").read_text(encoding="utf-8")
        plain = (SOURCES / "plain.cpp").read_text(encoding="utf-8").splitlines()
        for line in (SOURCES / "sharded.cpp").read_text(encoding="utf-8").splitlines():
            if line not in plain and not line.startswith("//"):
                self.assertIn(f"+{line}\n", text)

    def test_few_lines_differ(self):
        ran = subprocess.run(["diff", SOURCES / "plain.cpp", SOURCES / "sharded.cpp"],
                             capture_output=True, text=True, check=False)
        new = [line for line in ran.stdout.splitlines() if re.match(r"> (?!//)", line)]
        self.assertLessEqual(len(new), 10, new)

    def test_nothing_else_knows_of_libzero(self):
        for name in ("plain.cpp", "block.hpp"):
            text = (SOURCES / name).read_text(encoding="utf-8")
            self.assertIsNone(re.search(r"\bzero::|<zero/", text), name)


class TrainingTest(unittest.TestCase):
    def setUp(self):
        text = tempfile.NamedTemporaryFile("w", suffix=".txt")
        self.addCleanup(text.close)
        text.write("".join(f"line {n} has {n * n % 97} words of text, more or less.\n"
                           for n in range(400)))
        text.flush()
        self.text = text.name

    def losses(self, program, ranks, settings=None):
        ran = start([BIN / program, self.text, str(STEPS)], ranks,
                    {"OMP_NUM_THREADS": "1", **(settings or {})})
        self.assertEqual(ran.codes, [0] * max(ranks, 1), ran.errors)
        self.assertEqual(len(ran.losses), STEPS)
        return ran.losses

    def test_losses_are_those_of_the_twin(self):
        twin = self.losses("torch_trainer_plain", 0)
        self.assertLess(float(twin[-1]), 0.9 * float(twin[0]))
        for ranks in (1, 2, 4):
            first = None
            for stage in (0, 1, 2, 3):
                with self.subTest(ranks=ranks, stage=stage):
                    now = self.losses("torch_trainer_sharded", ranks, {"LIBZERO_STAGE": str(stage)})
                    for ours, theirs in zip(now, twin):
                        self.assertLessEqual(abs(float(ours) - float(theirs)),
                                             0 if ranks == 1 else TOLERANCE)
                    first = first or now
                    self.assertEqual(now, first)


if __name__ == "__main__":
    unittest.main()
