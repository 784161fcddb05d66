"""What a life is doing, by what appears in its checkpoint directory and in its report.

Nothing here asks the job: names in a directory and lines of a file are all there is.
"""

import json
import os
import re
from pathlib import Path

from watch import Watch

STEP = re.compile(r"step-(\d{12})")
# In the order a life goes through them.
PHASES = ("starting", "clearing", "loading", "training", "staged", "shards", "manifest",
          "published", "retention")


def step_of(name):
    found = STEP.fullmatch(name)
    return int(found[1]) if found else None


def newest_step(folder):
    steps = [step_of(name) for name in os.listdir(folder)]
    return max((step for step in steps if step is not None), default=None)


class Report:
    """The lines of --json as they come."""

    def __init__(self, path):
        self.path = Path(path)
        self.resumed_from = None  # 0: from the start
        self.acknowledged = []
        self.last_step = 0
        self.digest = None

    def read(self):
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return self
        self.acknowledged = []
        for line in text.splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # it was being written
            self.take(json.loads(line))
        return self

    def take(self, line):
        schema = line["schema"]
        if schema == "zero.resume/1":
            self.resumed_from = line["step"]
        elif schema == "zero.step/1":
            self.last_step = line["step"]
            if self.resumed_from is None:
                self.resumed_from = line["step"] - 1
        elif schema == "zero.checkpoint/1":
            self.acknowledged.append(line["step"])
        elif schema == "zero.run/1":
            self.digest = line["parameters_digest"]
            if self.resumed_from is None:
                self.resumed_from = 0


class Sight:
    """A life's directory under watch."""

    def __init__(self, folder, report):
        self.folder = Path(folder)
        self.report = report
        self.watch = Watch(folder)
        self.saves = 0           # begun in this life
        self.has_claimed = False
        self.has_opened = False  # a shard, before it saved anything

    def look(self, seconds):
        """Events of the next `seconds` at most, as soon as there are any."""
        self.watch.wait(seconds)
        events = self.watch.read()
        for event, folder, name in events:
            if folder == "" and event == "create" and name.startswith(".staging-"):
                self.saves += 1
            if folder == "" and event == "create" and name.startswith(".epoch-"):
                self.has_claimed = True
            if is_shard(name) and event == "open" and self.saves == 0:
                self.has_opened = True
        return events

    def phase(self):
        """Of a life that is held still."""
        self.look(0)
        self.report.read()
        names = os.listdir(self.folder)
        staging = [name for name in names if name.startswith(".staging-")]
        trash = [name for name in names if name.startswith(".trash-")]
        if self.saves == 0 and self.report.last_step == 0:
            if (staging or trash) and self.has_claimed:
                return "clearing"
            return "loading" if self.has_opened else "starting"
        if staging:
            inside = os.listdir(self.folder / staging[0])
            if "manifest.json" in inside:
                return "manifest"
            return "shards" if inside else "staged"
        steps = [step_of(name) for name in names if step_of(name) is not None]
        if max(steps, default=0) > max([0, *self.report.acknowledged]) and self.saves > 0:
            return "retention" if trash else "published"
        return "training"

    def close(self):
        self.watch.close()


def is_shard(name):
    return name.startswith("rank-") and name.endswith(".safetensors")
