#!/usr/bin/env python3
"""Checkpoints that are loaded by other ranks than those that saved them.

    reshard_test.py ZERO RESAVE

A run of 4 ranks at stage 3 with everything on a disk keeps a checkpoint. 1, 2, 3, 6 and 8 ranks at
stages 0 to 3 load it: what they then hold is bit for bit what was saved, as judge.py reads it, and
the 10 losses that follow are within 1e-5 of the run that went on, and equal to them on 4 ranks.
`zero checkpoint reshard` and `export` are judged the same way.
"""

import json
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from judge import State, judge

ZERO, RESAVE = sys.argv[1:3]
MODEL = {"layers": 2, "channels": 18, "heads": 3, "vocabulary": 257, "context": 7}
SAVED, MORE = 7, 10
NAME = f"step-{SAVED:012}"


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          check=False)


class Resharding(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = Path(tempfile.mkdtemp(prefix="zero reshard "))
        (cls.scratch / "swap").mkdir()
        text = cls.scratch / "text"
        text.write_text("".join(f"line {i} and {i * i % 97}\n" for i in range(400)), encoding="utf-8")
        cls.run_dir = cls.scratch / "run"
        done = cls.train(4, 3, cls.run_dir, "run.jsonl", "nvme", "--save-every", SAVED, "--keep", 0)
        assert done.returncode == 0, done.stderr
        cls.losses = cls.losses_of("run.jsonl")
        assert len(cls.losses) == SAVED + MORE
        cls.saved = cls.run_dir / NAME

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.scratch, ignore_errors=True)

    @classmethod
    def train(cls, ranks, stage, directory, report, tier, *more):
        words = [ZERO, "train", "--ranks", ranks, "--stage", stage, "--steps", SAVED + MORE,
                 "--batch", 24, "--text", cls.scratch / "text", "--checkpoint", directory,
                 "--json", cls.scratch / report, "--offload-optimizer", tier, "--nvme-path",
                 cls.scratch / "swap", "--measure-links", "off", *more]
        if stage == 3:
            words += ["--offload-parameters", tier]
        for name, value in MODEL.items():
            words += [f"--{name}", value]
        return run(*words)

    @classmethod
    def losses_of(cls, report):
        lines = (cls.scratch / report).read_text(encoding="utf-8").splitlines()
        steps = [json.loads(line) for line in lines]
        return {line["step"]: line["loss"] for line in steps if line["schema"] == "zero.step/1"}

    def copy(self, name):
        """A directory that has the checkpoint alone."""
        directory = self.scratch / name
        directory.mkdir()
        shutil.copytree(self.saved, directory / NAME)
        return directory

    def expect_same_state(self, folder):
        verdict = judge(self.saved, folder)
        self.assertTrue(verdict["equal"], verdict["differences"])
        self.assertGreater(verdict["arrays"], 80)

    def test_every_world_and_stage_holds_the_same_state(self):
        for ranks in (1, 2, 3, 6, 8):
            for stage in range(4):
                with self.subTest(ranks=ranks, stage=stage):
                    tier = ("device", "host", "disk")[(ranks + stage) % 3]
                    out = self.scratch / f"resaved {ranks} {stage}"
                    done = run(RESAVE, self.copy(f"to resave {ranks} {stage}"), out, ranks, stage,
                               tier, self.scratch / "swap", *MODEL.values())
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(len(State(out / NAME).manifest["files"]), ranks)
                    self.expect_same_state(out / NAME)

    def test_training_goes_on_from_it(self):
        for ranks in (1, 2, 3, 4, 6, 8):
            for stage in range(4):
                with self.subTest(ranks=ranks, stage=stage):
                    name = f"next {ranks} {stage}"
                    tier = ("none", "cpu", "nvme")[(ranks + stage) % 3]
                    done = self.train(ranks, stage, self.copy(name), name + ".jsonl", tier,
                                      "--resume")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    losses = self.losses_of(name + ".jsonl")
                    self.assertEqual(sorted(losses), list(range(SAVED + 1, SAVED + MORE + 1)))
                    for step, loss in losses.items():
                        if ranks == 4:
                            self.assertEqual(loss, self.losses[step])
                        self.assertLess(abs(loss - self.losses[step]), 1e-5)
                    if ranks == 4:
                        end = f"step-{SAVED + MORE:012}"
                        verdict = judge(self.run_dir / end, self.scratch / name / end)
                        self.assertTrue(verdict["equal"], verdict["differences"])

    def test_resharded_files_hold_the_same_state(self):
        before = {path: path.read_bytes() for path in self.saved.iterdir()}
        for ranks in (1, 3, 7):
            out = self.scratch / f"resharded {ranks}"
            done = run(ZERO, "checkpoint", "reshard", self.saved, "--ranks", ranks, "--stage", 2,
                       out, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            report = json.loads(done.stdout)
            self.assertEqual((report["schema"], report["name"], report["ranks"]),
                             ("zero.reshard/1", NAME, ranks))
            state = State(out / NAME)
            sizes = [entry["bytes"] for entry in state.manifest["files"]]
            self.assertEqual((len(sizes), sum(sizes)), (ranks, report["bytes"]))
            self.assertEqual(state.manifest["settings"]["world_size"], str(ranks))
            self.expect_same_state(out / NAME)
            self.assertEqual(run(ZERO, "checkpoint", "verify", out).returncode, 0)
        self.assertEqual(before, {path: path.read_bytes() for path in self.saved.iterdir()})
        done = self.train(3, 2, self.scratch / "resharded 3", "resharded.jsonl", "none", "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        for step, loss in self.losses_of("resharded.jsonl").items():
            self.assertLess(abs(loss - self.losses[step]), 1e-5)

    def test_the_export_is_the_full_parameters(self):
        for form in ("directory", "folder"):
            out = self.scratch / f"{form}.safetensors"
            source = self.saved if form == "folder" else self.copy("to export")
            done = run(ZERO, "checkpoint", "export", source, out)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.expect_export(out)
        # What the trainer exports at that step is the same file.
        words = ["--steps", SAVED, "--resume", "--export", self.scratch / "train.safetensors"]
        done = run(ZERO, "train", "--batch", 24, "--text", self.scratch / "text", "--checkpoint",
                   self.copy("to train"), *words,
                   *(word for name, value in MODEL.items() for word in (f"--{name}", value)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.scratch / "train.safetensors").read_bytes(), out.read_bytes())

    def expect_export(self, path):
        """Read by nothing but the format's own definition."""
        blob = path.read_bytes()
        (length,) = struct.unpack("<Q", blob[:8])
        header = json.loads(blob[8:8 + length])
        header.pop("__metadata__", None)
        state = State(self.saved)
        shapes = {entry["name"]: entry["shape"] for entry in state.manifest["parameters"]}
        self.assertEqual(shapes, {name: entry["shape"] for name, entry in header.items()})
        self.assertEqual(shapes["wte.weight"], [MODEL["vocabulary"], MODEL["channels"]])
        self.assertEqual(shapes["h.1.attn.c_attn.weight"],
                         [MODEL["channels"], 3 * MODEL["channels"]])
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            self.assertEqual(entry["dtype"], "F32")
            self.assertEqual(blob[8 + length + begin:8 + length + end],
                             state.arrays["weights/" + name], name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
