#!/usr/bin/env python3
"""The kill campaign: training jobs are killed again and again, at chosen phases and at random, and
must end as if nothing had happened.

    kills.py --zero BIN [--kills 150] [--workers 2] [--seed N] [--evidence FILE]

Three programs that share no code: this one starts jobs, kills and counts; the job is the shipped
`zero train`, 4 rank processes at stage 3 with everything offloaded to a disk; judge.py reads the
checkpoints. A life is held still (SIGSTOP) where something appears in its directory, looked at,
killed in part or whole, and the rest goes on. Checked of every life: the newest checkpoint is at or
after the last acknowledged one, holds bit for bit what the run that was never killed had at that
step, and the next life goes on from it. Of every job: its end is that run's end, and nothing
unfinished is left. Prints a table; one JSON line a life goes to --evidence. Exit code 0 if all that
holds and every phase had its share of kills.
"""

import argparse
import collections
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from job import Job, Setting
from life import become_subreaper
from sight import PHASES

FLOOR = 0.04       # of all kills, in each phase
FLOOR_CLEARING = 0.02  # needs what a life left, and is over within a millisecond
FLOOR_RANDOM = 0.1  # at a moment that no phase chose
FLOOR_TWICE = 0.02  # during the recovery from a kill


def work(setting, kills, seed, results):
    """Kills jobs until `kills` lives were killed. In a process of its own, whose children they are."""
    try:
        become_subreaper()
        chosen = random.Random(seed)
        seen = collections.Counter()
        number = 0
        while sum(seen.values()) < kills:
            job = Job(setting, f"{seed}-{number}", chosen, seen)
            for line in job.run(kills):
                results.put(line)
            number += 1
        results.put(None)
    except BaseException as problem:  # noqa: BLE001 - the parent waits for a word of ours
        results.put({"failure": f"{type(problem).__name__}: {problem}"})
        results.put(None)
        raise


def gather(setting, options):
    shares = [options.kills // options.workers + (i < options.kills % options.workers)
              for i in range(options.workers)]
    results = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=work,
                                       args=(setting, share, options.seed * 1000 + i, results))
               for i, share in enumerate(shares)]
    for worker in workers:
        worker.start()
    lines = []
    working = len(workers)
    with open(options.evidence, "w", encoding="utf-8") as evidence:
        while working:
            line = results.get()
            if line is None:
                working -= 1
                continue
            lines.append(line)
            evidence.write(json.dumps(line) + "\n")
            evidence.flush()
            if "failure" in line:
                print(f"FAILED: {json.dumps(line)}", flush=True)
    for worker in workers:
        worker.join()
    return lines


def sum_up(lines, kills):
    """Prints what the evidence says; the complaints."""
    killed = [line for line in lines if line.get("delivered")]
    complaints = [line["failure"] for line in lines if "failure" in line]
    by_phase = collections.Counter(line["phase"] for line in killed)
    print(f"{'phase':12} {'kills':>6}")
    for phase in PHASES:
        print(f"{phase:12} {by_phase[phase]:>6}")
        floor = FLOOR_CLEARING if phase == "clearing" else FLOOR
        if by_phase[phase] < int(floor * kills):
            complaints.append(f"only {by_phase[phase]} kills in {phase}")
    random_ones = sum(line["chosen"] == "random" for line in killed)
    twice = sum(line["recovering"] and line["again"] for line in killed)
    whole = sum(line["victims"] == "all" for line in killed)
    signals = sum(len(line["deaths"]) for line in killed)
    spared = sum(not line.get("delivered") and not line.get("last") for line in lines
                 if "failure" not in line)
    resumed = sum((line["resumed_from"] or 0) > 0 for line in killed)
    ended = [line for line in lines if line.get("last")]
    print(f"{len(killed)} lives killed with {signals} SIGKILLs: {random_ones} at random, {twice} again "
          f"during recovery, {whole} with all their processes; {resumed} had gone on from a "
          f"checkpoint; {spared} ended before they could be killed")
    print(f"{len(ended)} jobs ended as the run that was never killed, bit for bit; "
          f"{sum(line.get('judged', False) for line in lines)} checkpoints judged")
    if len(killed) < kills:
        complaints.append(f"only {len(killed)} kills of {kills}")
    for what, count, floor in (("at random", random_ones, FLOOR_RANDOM),
                               ("during recovery", twice, FLOOR_TWICE), ("of all", whole, FLOOR)):
        if count < int(floor * kills):
            complaints.append(f"only {count} kills {what}")
    if spared > 0.15 * kills:
        complaints.append(f"{spared} lives ended before they could be killed")
    if not ended:
        complaints.append("no job ended")
    return complaints


def main():
    parser = argparse.ArgumentParser(description="Kills training jobs and looks what becomes of them.")
    parser.add_argument("--zero", required=True, help="the command zero")
    parser.add_argument("--kills", type=int, default=150)
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--seed", type=int, default=None, help="default: from the system")
    parser.add_argument("--evidence", help="file of JSON lines; default: in a folder that goes away")
    parser.add_argument("--async", dest="background", action="store_true",
                        help="jobs save in the background")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "little")
    print(f"kills.py: seed {options.seed}, {options.kills} kills, {options.workers} at a time",
          flush=True)
    begun = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="zero kills "))
    options.evidence = options.evidence or scratch / "evidence.jsonl"
    try:
        setting = Setting(Path(options.zero).resolve(), scratch, options.background)
        setting.make_reference()
        complaints = sum_up(gather(setting, options), options.kills)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{time.monotonic() - begun:.1f} s")
    for complaint in complaints:
        print(f"kills.py: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
