"""Called by scripts/gpu_check.sh, which says what the options are."""

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import report
from .commands import Commands
from .parts import Parts

# Seconds of 540; what a part leaves goes to those after it.
SHARES = {"tests": 150, "trainer": 140, "bench": 90, "sanitizer": 160}


def gpu_of_machine():
    """{"gpu":, "driver":, "memory":} as nvidia-smi says it."""
    try:
        said = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total",
                               "--format=csv,noheader"], capture_output=True, text=True,
                              timeout=60, check=True).stdout.splitlines()[0]
        return dict(zip(("gpu", "driver", "memory"), (word.strip() for word in said.split(","))))
    except (OSError, subprocess.SubprocessError, IndexError):
        return {}


def describe_machine():
    cpu = ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {**gpu_of_machine(), "cpu": cpu, "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}", "libc": platform.libc_ver()[1],
            "python": platform.python_version()}


def run_part(name, parts):
    """A part that breaks down is recorded and the next goes on."""
    begun = time.monotonic()
    try:
        found = getattr(parts, name)()
    except Exception as failed:  # noqa: whatever it was
        found = {"results": [], "bars": [], "trouble": f"{type(failed).__name__}: {failed}"}
    found["seconds"] = round(time.monotonic() - begun, 1)
    return found


def parse():
    parser = argparse.ArgumentParser(prog="scripts/gpu_check.sh")
    parser.add_argument("--only", action="append", choices=list(SHARES), default=None)
    parser.add_argument("--limit", type=float, default=540.0)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--command", default="")
    return parser.parse_args()


def read_build(bin_folder):
    try:
        return json.loads((bin_folder / "gpu_build.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what was started, too
    chosen = [name for name in SHARES if not options.only or name in options.only]
    options.out.mkdir(parents=True, exist_ok=True)
    build = read_build(options.bin)
    begun = time.monotonic()
    check = {"schema": "zero.gpu_check/1",
             "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
             "machine": describe_machine(),
             "command": options.command,
             "commit": build.get("commit", "unknown"), "build": build, "parts": {}}
    share = options.limit / sum(SHARES[name] for name in chosen)
    ends = begun
    with tempfile.TemporaryDirectory() as scratch, \
            open(options.out / "gpu_check.log", "w", encoding="utf-8") as log:
        for name in chosen:
            ends += share * SHARES[name]
            commands = Commands(log, ends, scratch)
            parts = Parts(commands, options.bin, Path(scratch), options.root)
            print(f"== {name}: {commands.left():.0f} s at most", flush=True)
            check["parts"][name] = run_part(name, parts)
            # Written after each part, so that what is there survives an end from outside.
            check["seconds"] = round(time.monotonic() - begun, 1)
            write(check, options.out)
    failed = report.failures(check)
    print(report.table(check))
    print(f"{options.out}/gpu_check.json", f"{options.out}/gpu_check.md", sep="\n")
    return 1 if failed else 0


def write(check, out):
    (out / "gpu_check.json").write_text(json.dumps(check, indent=1) + "\n", encoding="utf-8")
    (out / "gpu_check.md").write_text(report.table(check), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
