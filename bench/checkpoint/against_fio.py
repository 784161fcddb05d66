#!/usr/bin/env python3
"""What publishing checkpoints of a real run takes, against what fio writes to the same disk.

    against_fio.py ZERO [--model gpt-85m] [--ranks 4] [--rounds 7] [--directory .]

In turn: a run that publishes two checkpoints, and fio writing as many bytes as one has, by as many
processes, past the page cache, eight requests of 4 MiB deep, ended by an fsync. The rate of a save
is the size of the published directory over the time from the call to the rename, as the run reports
it; the second save of a run counts, since the first finds its memory untouched. Prints each round,
the medians and their ratio; exit code 0 if the ratio reaches --floor, 1 if not, 77 without fio.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def save_rate(zero, scratch, options):
    """Bytes a second of the second checkpoint of a run, and its bytes."""
    lines = scratch / "run.json"
    directory = scratch / "checkpoints"
    words = [zero, "train", "--model", options.model, "--ranks", str(options.ranks), "--stage", "3",
             "--steps", "2", "--batch", str(options.ranks), "--sequence", "64",
             "--checkpoint", str(directory), "--save-every", "1", "--keep", "0",
             "--json", str(lines)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    saves = [line for line in map(json.loads, lines.read_text(encoding="utf-8").splitlines())
             if line["schema"] == "zero.checkpoint/1"]
    shutil.rmtree(directory)
    return saves[-1]["bytes"] / saves[-1]["seconds"], saves[-1]["bytes"]


def fio_rate(scratch, size, jobs):
    each = size // jobs // 4096 * 4096
    words = ["fio", "--name=write", f"--directory={scratch}", "--rw=write", "--bs=4m",
             f"--size={each}", f"--numjobs={jobs}", "--direct=1", "--ioengine=io_uring",
             "--iodepth=8", "--end_fsync=1", "--fallocate=posix", "--group_reporting",
             "--unlink=1", "--output-format=json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    seconds = found["job_runtime"] / jobs / 1000
    return each * jobs / seconds


def main():
    parser = argparse.ArgumentParser(description="Checkpoints of a run against what fio writes.")
    parser.add_argument("zero")
    parser.add_argument("--model", default="gpt-85m")
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--directory", default=".", help="on the disk that is measured")
    parser.add_argument("--floor", type=float, default=0.8)
    options = parser.parse_args()
    if shutil.which("fio") is None:
        print("fio is not here")
        return 77
    zero = str(Path(options.zero).resolve())
    saves, writes = [], []
    with tempfile.TemporaryDirectory(prefix="zero against fio ", dir=options.directory) as scratch:
        for number in range(options.rounds):
            rate, size = save_rate(zero, Path(scratch), options)
            saves.append(rate)
            writes.append(fio_rate(scratch, size, options.ranks))
            print(f"round {number + 1}: save {rate / 1e9:.2f} GB/s, fio {writes[-1] / 1e9:.2f} GB/s",
                  flush=True)
    ratio = statistics.median(a / b for a, b in zip(saves, writes))
    print(f"{options.model}, {options.ranks} ranks, {size / 1e6:.0f} MB: save "
          f"{statistics.median(saves) / 1e9:.2f} GB/s, fio {statistics.median(writes) / 1e9:.2f} "
          f"GB/s, median of ratios {ratio:.2f}")
    return 0 if ratio >= options.floor else 1


if __name__ == "__main__":
    sys.exit(main())
