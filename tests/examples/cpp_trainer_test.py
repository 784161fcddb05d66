"""The C++ trainer with an optimizer of its own: both ways to keep it train as the twin that knows nothing
of libzero does.   cpp_trainer_test.py FOLDER_OF_THE_PROGRAMS [unittest's options]"""

import os
import re
import sys
import tempfile
import unittest
from pathlib import Path

from programs import start

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "libzero" / "examples" / "cpp_trainer"
BIN = Path(sys.argv.pop(1))
# Odd sizes: shards cut through tensors, and biases are smaller than any page.
SMALL = ["--blocks", "3", "--channels", "21", "--embedding", "5", "--batch", "11"]
TOLERANCE = 1e-6


class SourcesTest(unittest.TestCase):
    def test_the_readme_shows_the_lines_that_differ(self):
        text = (SOURCES / "README.md").read_text(encoding="utf-8")
        plain = (SOURCES / "plain.cpp").read_text(encoding="utf-8").splitlines()
        for name in ("wrapped.cpp", "sharded.cpp"):
            new = (SOURCES / name).read_text(encoding="utf-8").splitlines()
            for line in new:
                if line not in plain and line.strip(" {}()"):
                    self.assertIn(line.strip(), text, name)

    def test_nothing_else_knows_of_libzero(self):
        for name in ("plain.cpp", "model.cpp", "model.hpp", "adamax.hpp", "text.cpp", "text.hpp"):
            text = (SOURCES / name).read_text(encoding="utf-8")
            self.assertIsNone(re.search(r"\bzero(_\w+|::)|<zero/", re.sub(r"//.*", "", text)), name)


class TrainingTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=os.getcwd())
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_twin(self, arguments):
        """Losses as text."""
        ran = start([BIN / "cpp_trainer_plain", *arguments], 0)
        self.assertEqual(ran.codes, [0], ran.errors)
        return ran.losses

    def run_ranks(self, program, stage, ranks, arguments, settings):
        """Losses and the digest of all weights, as text."""
        ran = start([BIN / f"cpp_trainer_{program}_digest", *arguments], ranks,
                    {"LIBZERO_STAGE": str(stage), **settings})
        self.assertEqual(ran.codes, [0] * ranks, ran.errors)
        for rank in range(ranks):
            self.assertEqual(len(ran.digests[rank]), 1, ran.outputs[rank])
            self.assertEqual(ran.digests[rank], ran.digests[0])
        return ran.losses, ran.digests[0][0]

    def settings(self, tier, addressing):
        return {"LIBZERO_OFFLOAD_OPTIMIZER": tier, "LIBZERO_NVME_PATH": str(self.folder),
                "LIBZERO_ADDRESSING": addressing}

    def test_at_one_rank_ones_own_rule_is_exact(self):
        arguments = [*SMALL, "--steps", "100"]
        twin = self.run_twin(arguments)
        self.assertLess(float(twin[-1]), float(twin[0]) - 1.0)
        for program, stages in (("wrapped", (0, 1)), ("sharded", (0, 1, 2, 3))):
            for stage in stages:
                with self.subTest(program=program, stage=stage):
                    self.assertEqual(self.run_ranks(program, stage, 1, arguments, {})[0], twin)

    def test_every_stage_tier_and_addressing_at_2_to_4_ranks(self):
        """Within 1e-6 of the twin, bit for bit the same at one number of ranks."""
        arguments = [*SMALL, "--steps", "100"]
        twin = [float(loss) for loss in self.run_twin(arguments)]
        for ranks in (2, 3, 4):
            first = None
            runs = [("wrapped", stage, tier, "stable") for stage in (0, 1) for tier in ("none", "cpu")]
            runs += [("sharded", stage, tier, "stable") for stage in (0, 1, 2, 3)
                     for tier in ("none", "cpu", "nvme")]
            runs += [("sharded", stage, "none", "slots") for stage in (1, 2, 3)]
            for program, stage, tier, addressing in runs:
                with self.subTest(ranks=ranks, program=program, stage=stage, offload=tier,
                                  addressing=addressing):
                    result = self.run_ranks(program, stage, ranks, arguments,
                                            self.settings(tier, addressing))
                    self.assertEqual(len(result[0]), len(twin))
                    for step, (loss, wanted) in enumerate(zip(result[0], twin), 1):
                        self.assertLess(abs(float(loss) - wanted), TOLERANCE, f"step {step}")
                    first = first or result
                    self.assertEqual(result, first)

    def test_a_factory_is_refused_what_it_would_have_to_hold_in_memory(self):
        ran = start([BIN / "cpp_trainer_wrapped", *SMALL], 1,
                    {"LIBZERO_STAGE": "1", **self.settings("nvme", "stable")})
        self.assertEqual(ran.codes, [1], ran.outputs)
        self.assertRegex(ran.errors[0], r"^trainer: wrap_with: .*disk.*\n$")


if __name__ == "__main__":
    unittest.main()
