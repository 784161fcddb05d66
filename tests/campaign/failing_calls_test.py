#!/usr/bin/env python3
"""System calls of saving and loading that fail under the shipped binary: strace makes them.

    failing_calls_test.py ZERO [--times 2]

A run of 2 ranks has published a checkpoint and goes on from it, saving more. A first run under
strace tells which of a thread's calls of a kind are those on the checkpoint directory; in each trial
one of these fails, or all from it on. Either the run ends well with the bits it should have, or it
says what failed with the exit code of that class; a checkpoint verifies and holds its bits either
way, the one that was there or a newer one. Failures are counted by what strace says it did. Skipped
(exit code 77) where processes may not be traced.
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from judge import judge

SAVED, STEPS = 3, 7
# Calls and the ways in which a disk, a quota or a limit makes them fail.
CALLS = {
    "openat": ("EIO", "EMFILE", "ENOSPC"), "mkdirat": ("ENOSPC", "EROFS"), "fsync": ("EIO",),
    "pwrite64": ("EIO", "ENOSPC", "EINTR"), "fallocate": ("ENOSPC", "EOPNOTSUPP"),
    "ftruncate": ("EIO",), "renameat2": ("EIO", "ENOSPC"), "unlinkat": ("EIO", "EACCES"),
    "pread64": ("EIO", "EINTR"), "getdents64": ("EIO",), "fcntl": ("EIO", "ENOLCK"),
}
INJECTED = re.compile(r"\b(\w+)\(.*\(INJECTED\)")
CALL = re.compile(r"^(\d+) +(\w+)\(")
UNFINISHED = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
FLOOR = 55  # trials in which a call on the checkpoint directory failed; and of each call one
CODES = {1, 3, 5, 6}


def words_of(zero, scratch, directory, keep=1):
    model = ["--layers", 1, "--channels", 8, "--heads", 2, "--vocabulary", 256, "--context", 8]
    return [str(word) for word in
            [zero, "train", "--ranks", 2, "--stage", 3, *model, "--text", scratch / "text",
             "--steps", STEPS, "--checkpoint", directory, "--save-every", SAVED, "--keep", keep,
             "--resume", "--deadline", 20]]


def run(words, **more):
    return subprocess.run(words, capture_output=True, text=True, check=False, **more)


def whole_calls(lines):
    """A line for each call, also where that of another thread was written before it ended."""
    begun = {}
    calls = []
    for line in lines:
        first, rest = UNFINISHED.match(line), RESUMED.match(line)
        if first:
            begun[first[1]] = len(calls)
            calls.append(f"{first[1]} {first[2]}")
        elif rest and rest[1] in begun:
            calls[begun.pop(rest[1])] += rest[2]
        else:
            calls.append(line)
    return calls


class Campaign:
    def __init__(self, zero, scratch):
        self.zero = zero
        self.scratch = scratch
        (scratch / "text").write_text("some text to be read by whoever trains\n" * 40,
                                      encoding="utf-8")
        self.whole = scratch / "whole"
        self.places = {}  # of calls: which of a thread's calls are on the directory
        self.faults = []
        self.delivered = collections.Counter()  # by call and errno, on the directory
        self.outcomes = collections.Counter()
        self.struck = 0  # trials in which there was such a failure
        done = run(words_of(zero, scratch, self.whole, keep=0))
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def traced(self, name, options):
        """A run that goes on, under strace; its directory, how it ended, and the lines on it."""
        directory = self.scratch / name
        directory.mkdir()
        saved = f"step-{SAVED:012}"
        shutil.copytree(self.whole / saved, directory / saved)
        (directory / f".staging-{SAVED:012}-7-{'0' * 32}").mkdir()  # of an owner that died
        log = self.scratch / (name + ".log")
        done = run(["strace", "-f", "-qq", "-y", "-o", str(log), *options,
                    *words_of(self.zero, self.scratch, directory)], timeout=120)
        return directory, done, whole_calls(log.read_text(errors="replace").splitlines())

    def find_places(self):
        directory, _, lines = self.traced("nothing fails", ["-e", "trace=" + ",".join(CALLS)])
        made = collections.Counter()
        for line in lines:
            call = CALL.match(line)
            if not call:
                continue  # a signal, or the end of a process
            made[call.groups()] += 1
            if str(directory) in line:
                self.places.setdefault(call[2], set()).add(made[call.groups()])
        shutil.rmtree(directory)

    def trial(self, call, error, when):
        name = f"{call} {error} {when}"
        options = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
        directory, done, lines = self.traced(name, options)
        hits = [line for line in lines if INJECTED.search(line) and str(directory) in line]
        self.delivered[f"{call} {error}"] += len(hits)
        self.struck += bool(hits)
        self.outcomes[done.returncode] += 1
        self.look_at(name, directory, done)
        print(f"{name:28} {len(hits):3} failed, exit code {done.returncode}", flush=True)
        shutil.rmtree(directory)

    def look_at(self, name, directory, done):
        if done.returncode not in CODES | {0, 2}:
            self.faults.append(f"{name}: exit code {done.returncode}: {done.stderr}")
        if done.returncode != 0 and not done.stderr.strip():
            self.faults.append(f"{name}: failed without a word")
        names = sorted(n for n in os.listdir(directory) if n.startswith("step-"))
        if not names:
            self.faults.append(f"{name}: no checkpoint is left")
            return
        if done.returncode == 0 and names[-1] != f"step-{STEPS:012}":
            self.faults.append(f"{name}: ended well at {names[-1]}")
        for each in names:
            verdict = judge(self.whole / each, directory / each)
            if not verdict["equal"]:
                self.faults.append(f"{name}: {each}: {verdict['differences']}")
        verified = run([str(self.zero), "checkpoint", "verify", str(directory)])
        if verified.returncode != 0:
            self.faults.append(f"{name}: does not verify: {verified.stderr}")


def refused():
    """Why nothing can be traced here, or nothing."""
    if shutil.which("strace") is None:
        return "strace is not here"
    done = run(["strace", "-f", "-qq", "-e", "trace=chdir", "-e", "inject=chdir:error=EIO", "-o",
                "/dev/null", "true"])
    return None if done.returncode == 0 else f"strace cannot trace here: {done.stderr.strip()}"


def main():
    parser = argparse.ArgumentParser(description="Lets system calls of a run fail.")
    parser.add_argument("zero")
    parser.add_argument("--times", type=int, default=3, help="a kind of failure, at as many times")
    options = parser.parse_args()
    why = refused()
    if why:
        print(why)
        return 77
    scratch = Path(tempfile.mkdtemp(prefix="zero failing calls "))
    try:
        campaign = Campaign(Path(options.zero).resolve(), scratch)
        campaign.find_places()
        for call, errors in CALLS.items():
            for number, error in enumerate(errors):
                # Once, here and there; and from some time on for good.
                places = sorted(campaign.places.get(call, ()))
                chosen = [places[(number + i * len(places) // options.times) % len(places)]
                          for i in range(options.times) if places]
                for place in sorted(set(chosen)):
                    campaign.trial(call, error, str(place))
                if places:
                    campaign.trial(call, error, f"{places[len(places) // 2]}+")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    total = sum(campaign.delivered.values())
    print(f"{total} failures in the checkpoint directory, in {campaign.struck} trials: "
          f"{dict(campaign.delivered)}")
    print(f"exit codes: {json.dumps(campaign.outcomes)}")
    for call in CALLS:
        if not any(count for name, count in campaign.delivered.items() if name.startswith(call)):
            campaign.faults.append(f"no {call} failed in the directory")
    if campaign.struck < FLOOR:
        campaign.faults.append(f"only {campaign.struck} trials had a failure")
    for fault in campaign.faults:
        print(fault, file=sys.stderr)
    return 1 if campaign.faults else 0


if __name__ == "__main__":
    sys.exit(main())
