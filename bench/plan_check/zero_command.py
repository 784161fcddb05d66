"""Runs `zero plan` and `zero train`, and reads what they say."""

import json
import statistics
import subprocess
from pathlib import Path

# Of the first steps pages are touched for the first time and files are written for the first time.
FIRST_STEPS = 3


class Failed(Exception):
    pass


def joined(common, words):
    """Options, of which those of `common` count where both give one."""
    pairs = [words[i:i + 2] for i in range(0, len(words), 2)]
    return [*common, *(word for pair in pairs if pair[0] not in common for word in pair)]


class Zero:
    """`program`, with swap files and what it writes in `folder`."""

    def __init__(self, program, folder):
        self.program = str(program)
        self.folder = Path(folder)

    def call(self, *words):
        return subprocess.run([self.program, *map(str, words)], capture_output=True, text=True,
                              timeout=600, check=False)

    def said(self, *words):
        done = self.call(*words)
        if done.returncode != 0:
            raise Failed(f"zero {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout

    def calibrate(self, common, ceilings):
        self.said("plan", *common, "--nvme-path", self.folder, "--calibrate", "--ceilings", ceilings)

    def plan(self, common, *words):
        try:
            return json.loads(self.said("plan", *common, *words, "--json"))
        except json.JSONDecodeError:
            raise Failed(f"{self.program} plan --json: printed no JSON") from None

    def train(self, common, words, expected, seconds=2.5, least=9):
        """The run's own line, and seconds of its steps but for the first: as many as take `seconds`
        by what is expected, at least `least`."""
        steps = FIRST_STEPS + max(least, min(60, int(seconds / max(expected, 1e-3))))
        written = self.folder / "steps.json"
        self.said("train", *joined(common, words), "--steps", steps, "--measure-links", "off",
                  "--nvme-path", self.folder, "--json", written)
        lines = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
        seconds = [line["seconds"] for line in lines if line["schema"] == "zero.step/1"]
        return lines[-1], seconds[FIRST_STEPS:]

    def accepts(self, common, words, budget):
        """Whether training begins within a budget; throws for any ending but a refusal of it."""
        done = self.call("train", *joined(common, words), "--steps", 1, "--measure-links", "off",
                         "--nvme-path", self.folder, "--memory-budget", budget)
        if done.returncode not in (0, 6):
            raise Failed(f"--memory-budget {budget}: {done.stderr.strip()}")
        return done.returncode == 0, done.stderr


def middle(seconds):
    return statistics.median(seconds)


def tiers_of(run):
    """A planned run's places, as options of `zero train`."""
    words = ["--stage", run["policy"], "--prefetch", run["prefetch"],
             "--accumulate", run["accumulate"]]
    for kind in ("optimizer", "gradients", "parameters"):
        words += [f"--offload-{kind}", run[f"offload_{kind}"]]
    if run["offload_optimizer"] != "none":
        words += ["--offload-ratio", run["offload_ratio"]]
    return words
