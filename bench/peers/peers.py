#!/usr/bin/env python3
"""Measures what others reach beside what we reach, turn by turn; scripts/peers.sh sets up and calls.

    peers.py [--quick] [--out DIR] [--under COMMAND] --environment DIR --programs DIR [ROW...]

Every row is measured by a process of its own, under COMMAND where one is given (a lock of the machine,
say). Writes DIR/peers.json (schema zero.peers/1) and DIR/peers.md. Exit code 1 where ours failed or a
check says that the two did not do the same work; a peer that cannot be had is a row with the reason.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile

import table
from place import Place, command_version
from rows_disk import checkpoint, disk
from rows_host import collectives, update
from rows_training import deepspeed, training

ROWS = {"update": update, "collectives": collectives, "training": training,
        "deepspeed": deepspeed, "disk": disk,
        "checkpoint": checkpoint}


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", default="out/peers")
    parser.add_argument("--under", default="")
    parser.add_argument("--environment", required=True)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--command", default="scripts/peers.sh", help="what is said to have run")
    parser.add_argument("--write", help=argparse.SUPPRESS)  # one row, by the process of a row
    given = parser.parse_args()
    for row in given.rows:
        if row not in ROWS:
            parser.error(f"no row is called '{row}'; there are {', '.join(ROWS)}")
    given.rows = given.rows or list(ROWS)
    return given


def machine():
    processor = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for text in file:
            if text.startswith("model name"):
                processor = text.partition(":")[2].strip()
                break
    return {"processor": processor, "cores": len(os.sched_getaffinity(0)),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": f"{platform.system()} {platform.release()}"}


def versions(environment):
    """Of what was there to be measured."""
    found = {}
    code = ("import importlib.metadata as m\n"
            "for n in ('torch', 'deepspeed'):\n"
            "    try: print(n, m.version(n))\n"
            "    except m.PackageNotFoundError: pass")
    interpreter = os.path.join(environment, "venv", "bin", "python")
    if os.path.exists(interpreter):
        ran = subprocess.run([interpreter, "-c", code], capture_output=True, text=True,
                             check=False)
        found.update(text.split() for text in ran.stdout.splitlines())
    for name, command in (("Open MPI", ("mpirun", "--version")), ("fio", ("fio", "--version"))):
        said = command_version(*command)
        if said is not None:
            found[name] = said.split()[-1].replace("fio-", "")
    return found


def commit():
    ran = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True,
                         text=True, check=False, cwd=os.path.dirname(os.path.abspath(__file__)))
    return ran.stdout.strip() or "unknown"


def measured_apart(row, given):
    """The rows that a process of its own measured; a row that says so where ours failed."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        command = [*shlex.split(given.under), sys.executable, "-B", os.path.abspath(__file__), row,
                   "--environment", given.environment, "--programs", given.programs, "--write",
                   path, *(["--quick"] if given.quick else [])]
        ran = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if ran.returncode == 0:
            with open(path, encoding="utf-8") as file:
                return json.load(file), True
        sys.stderr.write(ran.stderr)
        lines = ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"]
        return [{"row": row, "what": row, "peer": "all", "absent": f"failed: {lines[-1]}"}], False


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def main():
    given = options()
    if given.write:
        # so that contestants and their folders go with this process
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        place = Place(given.environment, given.programs, given.quick)
        write(given.write, json.dumps(ROWS[given.rows[0]](place)))
        return 0
    os.makedirs(given.out, exist_ok=True)
    rows, good = [], True
    for row in given.rows:
        print(f"peers: {row}", flush=True)
        found, ended_well = measured_apart(row, given)
        rows += found
        good = good and ended_well and not any(map(table.differs, found))
    whole = table.document(rows, {
        "date": datetime.date.today().isoformat(), "machine": machine(), "commit": commit(),
        "command": given.command, "quick": given.quick, "versions": versions(given.environment)})
    write(os.path.join(given.out, "peers.json"), json.dumps(whole, indent=1) + "\n")
    page = table.page(whole)
    write(os.path.join(given.out, "peers.md"), page)
    print(page)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
