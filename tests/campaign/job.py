"""One training job of the kill campaign, from its first life to its end.

A job is `zero train` with one checkpoint directory. Each life is to be killed at a moment chosen
for it; once few steps are left, one is let run to the end.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from life import Life
from sight import PHASES, Report, Sight, is_shard, newest_step

STEPS = 60
EVERY = 3
A_LIFE = 12  # steps that each life that is to be killed has before it, at least
KEEP = 2
RANKS = 4
SAVING = ("training", "staged", "shards", "manifest", "published", "retention")
RECOVERING = ("starting", "clearing", "loading")
# Shares of the kills; 1 where nothing is said. What needs leftovers can be chosen seldom.
WORTH = {"random": 3.0, "clearing": 2.0}


class Failure(Exception):
    """What must never be."""


class Setting:
    """What all jobs of a campaign have in common."""

    def __init__(self, zero, scratch, background):
        self.zero = zero
        self.scratch = scratch
        self.background = background
        self.text = scratch / "text"
        self.text.write_text("".join(f"line {i} of the text, and {i * i % 91} more\n"
                                     for i in range(300)), encoding="utf-8")
        self.swap = scratch / "swap"
        self.swap.mkdir()
        self.reference = scratch / "reference"
        self.digest = None
        self.seconds = 0.0

    def command(self, folder, report, keep):
        words = [self.zero, "train", "--ranks", RANKS, "--stage", 3, "--layers", 2, "--channels", 16,
                 "--heads", 2, "--vocabulary", 256, "--context", 8, "--batch", 4, "--text", self.text,
                 "--steps", STEPS, "--offload-optimizer", "nvme", "--offload-parameters", "nvme",
                 "--nvme-path", self.swap, "--measure-links", "off", "--deadline", 20,
                 "--checkpoint", folder, "--save-every", EVERY, "--keep", keep, "--resume",
                 "--json", report]
        if self.background:
            words.append("--checkpoint-async")
        return [str(word) for word in words]

    def make_reference(self):
        """The run that is never killed, with all its checkpoints. Not in the background."""
        words = self.command(self.reference, self.scratch / "reference.jsonl", 0)
        words = [word for word in words if word != "--checkpoint-async"]
        begun = time.monotonic()
        done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        self.seconds = time.monotonic() - begun
        if done.returncode != 0:
            raise Failure(f"the run that nobody kills failed: {done.stderr.decode()}")
        self.digest = Report(self.scratch / "reference.jsonl").read().digest


class Job:
    def __init__(self, setting, name, chosen, seen):
        self.setting = setting
        self.chosen = chosen  # the source of chance
        self.seen = seen      # kills so far, by phase and "random"
        self.folder = setting.scratch / f"job {name}"
        self.folder.mkdir()
        self.name = name
        self.lives = 0
        self.acknowledged = 0
        self.judged = set()
        self.was_killed = False  # the life before

    def run(self, kills):
        """One line a life, of the last one too."""
        try:
            while sum(self.seen.values()) < kills and self.left() >= A_LIFE:
                yield self.one_life(self.choose_moment())
            yield self.one_life(None)
        except Failure as problem:
            yield {"failure": str(problem), "job": self.name, "life": self.lives}
            raise

    def left(self):
        return STEPS - (newest_step(self.folder) or 0)

    def choose_moment(self):
        """The phase that has had least of its share, among those that can come."""
        can = [*PHASES, "random"]
        if newest_step(self.folder) is None:
            can.remove("loading")
        if not any(name.startswith((".staging-", ".trash-")) for name in os.listdir(self.folder)):
            can.remove("clearing")
        self.chosen.shuffle(can)
        return min(can, key=lambda phase: self.seen[phase] / WORTH.get(phase, 1.0))

    def one_life(self, moment):
        self.lives += 1
        report = Report(self.setting.scratch / f"{self.folder.name} {self.lives}.jsonl")
        before = newest_step(self.folder)
        sight = Sight(self.folder, report)
        errors = self.setting.scratch / f"{self.folder.name} {self.lives}.err"
        life = Life(self.setting.command(self.folder, report.path, KEEP), errors)
        line = {"job": self.name, "life": self.lives, "chosen": moment, "last": moment is None,
                "again": self.was_killed, "delivered": False, "before": before}
        try:
            if moment is None or not self.hunt(moment, life, sight, line):
                self.expect(life.finish(120), "a life does not end")
        finally:
            life.end()
            sight.close()
        self.was_killed = line["delivered"]
        line["ms"] = round(1e3 * (time.monotonic() - life.begun))
        self.look_back(life, report.read(), before, errors, line)
        return line

    # ---- the kill ----

    def hunt(self, moment, life, sight, line):
        """Waits for the moment and strikes. A life that was too quick is let go on to its next
        save. False if it ended before."""
        while self.wait_for(moment, life, sight):
            ranks = life.hold()
            phase = sight.phase()
            again = moment in SAVING and phase != moment and self.left() > 2 * EVERY
            if again and not life.ended():
                life.let_go()
                continue
            if life.ended():
                return False
            self.strike(moment, phase, ranks, life, line)
            return True
        return False

    def wait_for(self, moment, life, sight):
        """Until the moment is there. False if the life ended before."""
        if moment == "random":
            end = time.monotonic() + self.chosen.uniform(0.0, self.longest_wait())
            while time.monotonic() < end and not life.ended():
                time.sleep(0.0005)
            return not life.ended()
        save = self.chosen.randint(1, 3)
        what = self.chosen.randint(0, 2)
        while not life.ended():
            events = sight.look(0.02)
            life.learn(RANKS)
            for event in events:
                if self.is_moment(moment, event, sight, save, what):
                    time.sleep(self.delay_of(moment))
                    return not life.ended()
            if time.monotonic() > life.begun + 60:
                raise Failure("a life neither ends nor does what it should")
        return False

    def longest_wait(self):
        """About half a life: one that would have ended cannot be killed."""
        return 0.1 + 0.4 * self.setting.seconds * self.left() / STEPS

    def delay_of(self, moment):
        if moment == "training":
            return self.chosen.uniform(0.003, 0.012)
        return self.chosen.choice((0.0, 0.0, 0.0002))

    @staticmethod
    def is_moment(moment, event, sight, save, what):
        kind, folder, name = event
        in_staging = folder.startswith(".staging-")
        if moment == "starting":
            return name == ".lock" if what == 0 else name.startswith(".epoch-")
        if moment == "clearing":
            return name.startswith(".trash-") and sight.saves == 0
        if moment == "loading":
            return is_shard(name) and kind == ("open" if what == 0 else "access")
        if sight.saves < save:
            return False
        if moment == "staged":
            return kind == "create" and name.startswith(".staging-")
        if moment == "shards":
            return in_staging and is_shard(name) and kind == ("written" if what == 0 else "create")
        if moment == "manifest":
            return in_staging and name == "manifest.json" and kind in ("create", "written")
        if moment == "retention":
            return name.startswith(".trash-")
        return kind == "moved_to" and name.startswith("step-")  # published, training

    def strike(self, moment, phase, ranks, life, line):
        how = self.chosen.choices(("rank", "starter", "all", "ranks"), (55, 15, 20, 10))[0]
        if len(ranks) < RANKS:
            how = "starter"  # before or after most of it
        if how == "rank":
            # Rank 0 publishes: it is the one that matters in half of the phases.
            rank = self.chosen.choice((0, 0, *ranks))
            victims = [ranks[rank]]
            line["rank"] = rank
        else:
            victims = {"starter": [life.starter], "ranks": [*ranks.values()],
                       "all": [life.starter, *ranks.values()]}[how]
        deaths = life.kill(victims)
        self.expect(all(number == 9 for number in deaths), f"deaths by {deaths}")
        self.expect(life.finish(15), "not all have ended 15 s after a kill")
        by_signal = how in ("starter", "all")
        self.expect(life.status == ((os.CLD_KILLED, 9) if by_signal else (os.CLD_EXITED, 3)),
                    f"after a kill of {how} the starter ended with {life.status}")
        self.seen["random" if moment == "random" else phase] += 1
        line.update(delivered=True, phase=phase, victims=how, deaths=deaths,
                    recovering=phase in RECOVERING)

    # ---- what became of it ----

    def look_back(self, life, report, before, errors, line):
        said = errors.read_text(encoding="utf-8", errors="replace")
        line.update(resumed_from=report.resumed_from, acknowledged=report.acknowledged,
                    exit=life.status)
        if report.resumed_from is not None:
            self.expect(report.resumed_from == (before or 0),
                        f"went on from {report.resumed_from}, not from {before}")
        self.acknowledged = max([self.acknowledged, *report.acknowledged])
        newest = newest_step(self.folder) or 0
        line["newest"] = newest
        self.expect(newest >= self.acknowledged,
                    f"step {self.acknowledged} was acknowledged, and {newest} is the newest")
        if not line["delivered"] and life.status != (os.CLD_EXITED, 0):
            raise Failure(f"a life that nobody killed ended with {life.status}: {said}")
        if newest > 0 and newest not in self.judged:
            self.judge(newest, line)
        if line["last"]:
            self.expect(newest == STEPS, f"the end is step {newest}")
            self.expect(report.digest == self.setting.digest, "the end has other parameters")
            self.expect_tidy()

    def judge(self, step, line):
        name = f"step-{step:012}"
        judge = Path(__file__).with_name("judge.py")
        done = subprocess.run([sys.executable, "-I", "-S", judge, self.setting.reference / name,
                               self.folder / name], capture_output=True, text=True, check=False)
        verdict = json.loads(done.stdout or "{}")
        self.expect(done.returncode == 0 and verdict.get("equal"),
                    f"{name}: {verdict.get('differences')} {done.stderr}")
        self.judged.add(step)
        line.update(judged=True, sha256=verdict["sha256"])

    def expect_tidy(self):
        """A job that has ended leaves checkpoints, its lock and its claim, and no swap file."""
        names = os.listdir(self.folder)
        steps = [name for name in names if name.startswith("step-")]
        others = [name for name in names if name not in steps and name != ".lock"
                  and not name.startswith(".epoch-")]
        self.expect(len(steps) == KEEP and not others, f"left behind: {sorted(names)}")
        self.expect(not os.listdir(self.setting.swap), "swap files are left")

    def expect(self, condition, what):
        if not condition:
            raise Failure(f"job {self.name}, life {self.lives}: {what}")
