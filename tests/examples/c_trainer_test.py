"""The C trainer: how many lines its sharded versions differ by, and that all of them train as the twin
that knows nothing of libzero does.   c_trainer_test.py FOLDER_OF_THE_PROGRAMS [unittest's options]"""

import difflib
import json
import os
import re
import sys
import tempfile
import unittest
from pathlib import Path

from programs import start

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "libzero" / "examples" / "c_trainer"
BIN = Path(sys.argv.pop(1))
# Odd sizes: no tensor can be cut into equal pieces, slices of layers share pages.
SMALL = ["--layers", "3", "--channels", "30", "--heads", "3", "--sequence", "13", "--batch", "7"]
LINES = {1: 6, 2: 10, 3: 14}
TOLERANCE = 1e-6
STEPS = int(os.environ.get("ZERO_EXAMPLE_STEPS", "100"))  # fewer where each takes long


def changed_lines(before, after):
    """Lines of `after` that are inserted or edited, and lines of `before` that have gone for good."""
    old, new = (path.read_text(encoding="utf-8").splitlines() for path in (before, after))
    changed = 0
    for _, i, j, k, n in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        changed += max(j - i, n - k) if old[i:j] != new[k:n] else 0
    return changed


class LinesTest(unittest.TestCase):
    def test_changed_lines(self):
        for stage, most in LINES.items():
            with self.subTest(stage=stage):
                changed = changed_lines(SOURCES / "plain.c", SOURCES / f"stage{stage}.c")
                self.assertGreater(changed, 0)
                self.assertLessEqual(changed, most)

    def test_the_readme_shows_just_these_lines(self):
        """Each line that differs is in the README, and so is the count."""
        text = (SOURCES / "README.md").read_text(encoding="utf-8")
        plain = (SOURCES / "plain.c").read_text(encoding="utf-8").splitlines()
        for stage in LINES:
            new = (SOURCES / f"stage{stage}.c").read_text(encoding="utf-8").splitlines()
            for line in new:
                if line not in plain:
                    self.assertIn(line.strip(), text, f"stage {stage}")
            changed = changed_lines(SOURCES / "plain.c", SOURCES / f"stage{stage}.c")
            self.assertRegex(text, rf"\| `stage{stage}\.c` \| {changed} \|")

    def test_nothing_else_knows_of_libzero(self):
        for name in ("plain.c", "gpt.c", "gpt.h", "trainer.c", "trainer.h", "update.c"):
            text = (SOURCES / name).read_text(encoding="utf-8")
            code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
            self.assertIsNone(re.search(r"\bzero_|<zero/", code), name)


class TrainingTest(unittest.TestCase):
    """Each run prints every loss to its last bit and ends with the digest of all weights."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=os.getcwd())
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_twin(self, arguments, program="c_trainer_plain"):
        ran = start([BIN / program, *arguments], 0)
        self.assertEqual(ran.codes, [0], ran.errors)
        return [float(loss) for loss in ran.losses]

    def run_ranks(self, stage, ranks, arguments, settings, program=None):
        """Losses and the digest, as text."""
        name = program or f"c_trainer_stage{max(stage, 1)}_digest"
        if "LIBZERO_CONFIG" not in settings:
            settings = {"LIBZERO_STAGE": str(stage), **settings}
        ran = start([BIN / name, *arguments], ranks, settings)
        self.assertEqual(ran.codes, [0] * ranks, ran.errors)
        for rank in range(ranks):
            self.assertEqual(len(ran.digests[rank]), 1, ran.outputs[rank])
            self.assertEqual(ran.digests[rank], ran.digests[0])
        return ran.losses, ran.digests[0][0]

    def assert_near(self, losses, expected):
        self.assertEqual(len(losses), len(expected))
        for step, (loss, wanted) in enumerate(zip(losses, expected), 1):
            self.assertLess(abs(float(loss) - wanted), TOLERANCE, f"step {step}")

    def offloads(self):
        path = {"LIBZERO_NVME_PATH": str(self.folder)}
        yield "none", {}
        yield "cpu", {"LIBZERO_OFFLOAD_OPTIMIZER": "cpu"}
        yield "nvme", {"LIBZERO_OFFLOAD_OPTIMIZER": "nvme", **path}

    def test_every_stage_and_tier_at_1_to_4_ranks(self):
        """Within 1e-6 of the twin at any number of ranks, bit for bit the same at one."""
        arguments = [*SMALL, "--steps", str(STEPS)]
        twin = self.run_twin(arguments)
        self.assertEqual(len(twin), STEPS)
        self.assertLess(twin[-1], twin[0] - 0.005 * STEPS)
        for ranks in (1, 2, 3, 4):
            first = None
            for stage in (0, 1, 2, 3):
                for tier, settings in self.offloads():
                    with self.subTest(ranks=ranks, stage=stage, offload=tier):
                        result = self.run_ranks(stage, ranks, arguments, settings)
                        self.assert_near(result[0], twin)
                        first = first or result
                        self.assertEqual(result, first)

    def test_everything_off_the_device_at_stage_3(self):
        arguments = [*SMALL, "--steps", "20"]
        plain = self.run_ranks(3, 3, arguments, {})
        for tier in ("cpu", "nvme"):
            settings = {f"LIBZERO_OFFLOAD_{what}": tier for what in ("OPTIMIZER", "GRADIENTS", "PARAMETERS")}
            settings["LIBZERO_NVME_PATH"] = str(self.folder)
            with self.subTest(offload=tier):
                self.assertEqual(self.run_ranks(3, 3, arguments, settings), plain)

    def test_a_disk_nobody_named_is_that_of_temporary_files(self):
        arguments = [*SMALL, "--steps", "5"]
        nvme = {"LIBZERO_OFFLOAD_OPTIMIZER": "nvme"}
        expected = self.run_ranks(3, 2, arguments, {})
        for chosen in ("", str(self.folder)):
            with self.subTest(TMPDIR=chosen):
                result = self.run_ranks(3, 2, arguments, {**nvme, "TMPDIR": chosen})
                self.assertEqual(result, expected)
        ran = start([BIN / "c_trainer_stage3", *arguments], 1,
                    {"LIBZERO_STAGE": "3", "TMPDIR": str(self.folder / "absent"), **nvme})
        self.assertNotEqual(ran.codes, [0])
        self.assertIn(str(self.folder / "absent"), ran.errors[0])

    def test_clipped_sgd_from_a_file_in_deepspeeds_names(self):
        """Adam hides a gradient of the wrong scale; this does not."""
        arguments = [*SMALL, "--steps", str(STEPS), "--learning-rate", "0.03"]
        twin = self.run_twin(arguments, "c_trainer_plain_sgd")
        self.assertLess(twin[-1], twin[0] - 0.005 * STEPS)
        for ranks in (1, 2, 3, 4):
            first = None
            for stage in (0, 1, 2, 3):
                file = self.folder / "zero.json"
                file.write_text(json.dumps({
                    "zero_optimization": {"stage": stage}, "gradient_clipping": 0.7,
                    "optimizer": {"type": "SGD", "params": {"momentum": 0.9}}}), encoding="utf-8")
                with self.subTest(ranks=ranks, stage=stage):
                    result = self.run_ranks(stage, ranks, arguments, {"LIBZERO_CONFIG": str(file)})
                    self.assert_near(result[0], twin)
                    first = first or result
                    self.assertEqual(result, first)

    def test_one_program_serves_every_stage_below_its_own(self):
        arguments = [*SMALL, "--steps", "10"]
        expected = self.run_ranks(0, 2, arguments, {})
        for program, stages in ((2, (0, 1, 2)), (3, (0, 1, 2, 3))):
            for stage in stages:
                with self.subTest(program=program, stage=stage):
                    name = f"c_trainer_stage{program}_digest"
                    self.assertEqual(self.run_ranks(stage, 2, arguments, {}, name), expected)

    def test_more_ranks_than_sequences(self):
        """Ranks without a sequence take part all the same."""
        arguments = [*SMALL[:-1], "2", "--steps", "10"]
        self.assert_near(self.run_ranks(3, 4, arguments, {})[0], self.run_twin(arguments))

    def test_a_program_nobody_launched_is_one_rank(self):
        arguments = [*SMALL, "--steps", "10"]
        ran = start([BIN / "c_trainer_stage3", *arguments], 0, {"LIBZERO_STAGE": "3"})
        self.assertEqual(ran.codes, [0], ran.errors)
        self.assert_near(ran.losses, self.run_twin(arguments))

    @unittest.skipUnless((BIN / "zero").exists(), "the command zero is not built")
    def test_ranks_of_zero_launch(self):
        arguments = [*SMALL, "--steps", "10"]
        ran = start([BIN / "zero", "launch", "-n", "3", "--", BIN / "c_trainer_stage3", *arguments],
                    0, {"LIBZERO_STAGE": "3"})
        self.assertEqual(ran.codes, [0], ran.errors)
        losses = re.findall(r"^\[0\] step \d+ loss (\S+)$", ran.outputs[0], re.MULTILINE)
        self.assertEqual(losses, self.run_ranks(3, 3, arguments, {})[0])

    def test_memory_of_ones_own_is_refused_where_the_stage_gives_it_back(self):
        for program, stage, word in ((1, 2, "gradient"), (1, 3, "parameter"), (2, 3, "parameter")):
            with self.subTest(program=program, stage=stage):
                ran = start([BIN / f"c_trainer_stage{program}", *SMALL], 1,
                            {"LIBZERO_STAGE": str(stage)})
                self.assertEqual(ran.codes, [2], ran.outputs)
                self.assertRegex(ran.errors[0], r"^trainer: .*\n$")
                self.assertIn(word, ran.errors[0])
                self.assertEqual(ran.losses, [])


if __name__ == "__main__":
    unittest.main()
