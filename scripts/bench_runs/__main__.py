"""Asks every question in turn, several rounds, and writes one JSON; scripts/bench.sh calls it."""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_runs import results
from bench_runs.machine import commit_of, describe_machine, version_of
from bench_runs.questions import QUESTIONS, QUICK_BYTES, binary_of


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench.sh")
    parser.add_argument("questions", nargs="*", metavar="QUESTION")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--turns", type=int)
    parser.add_argument("--directory",
                        default=os.environ.get("ZERO_BENCH_DIRECTORY") or "/var/tmp")
    options = parser.parse_args()
    options.repetitions = options.repetitions or (2 if options.quick else 5)
    options.turns = options.turns or (2 if options.quick else 7)
    options.questions = options.questions or list(QUESTIONS)
    return options


def command_line(options):
    """As it would be typed; where things lie on this machine is left out."""
    return ["scripts/bench.sh", *(["--quick"] if options.quick else []), "--repetitions",
            str(options.repetitions), "--turns", str(options.turns), *options.questions]


def cases_of(question, options):
    """The cases of one process, as Google Benchmark writes them."""
    command = [str(options.bin / binary_of(question)), f"--turns={options.turns}",
               "--benchmark_format=json"]
    if options.quick:
        command.append(f"--bytes={QUICK_BYTES}")
    # A folder of its own: a process that is interrupted leaves its files in it.
    with tempfile.TemporaryDirectory(prefix="zero_bench_", dir=options.directory) as folder:
        ran = subprocess.run([*command, f"--directory={folder}"], capture_output=True, text=True,
                             check=False)
    if ran.returncode != 0:
        why = (ran.stderr.strip().splitlines() or ["no word"])[-1]
        raise results.Unreadable(f"{binary_of(question)} ended with {ran.returncode}: {why}")
    try:
        return json.loads(ran.stdout)["benchmarks"]
    except (ValueError, KeyError) as error:
        raise results.Unreadable(f"{binary_of(question)} wrote no JSON") from error


def rounds(options):
    """Every question once in a round, so that whatever drifts meets all alike."""
    found = {}
    for repetition in range(options.repetitions):
        for question in options.questions:
            begun = time.monotonic()
            for case in cases_of(question, options):
                name = results.short_name(case["name"])
                found.setdefault((question, name), results.Series(question, name)).add(case)
            print(f"round {repetition + 1} of {options.repetitions}: {question}, "
                  f"{time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
    order = list(QUESTIONS)
    return [series.as_json() for _, series in
            sorted(found.items(), key=lambda item: order.index(item[0][0]))]


def seconds(value):
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def table(run):
    """Markdown: every case, what it reached of its ceiling, and between what and what."""
    lines = ["| question | case | median | GB/s | of its ceiling | repetitions from, to |",
             "|---|---|---|---|---|---|"]
    for entry in run["benchmarks"]:
        rate = f"{entry['bytes'] * 1e-9 / entry['value']:.1f}" if entry["bytes"] else ""
        lines.append(f"| {entry['question']} | `{entry['name']}` | {seconds(entry['value'])} | {rate} | "
                     f"{entry['fraction']:.2f} | {min(entry['fractions']):.2f}, "
                     f"{max(entry['fractions']):.2f} |")
    return "\n".join(lines)


def document(run):
    """The table with what it was made on."""
    machine = run["machine"]
    return "\n".join([
        f"# Of the ceilings — {machine['cpu']}, {machine['cores']} cores — {run['date'][:10]}", "",
        f"`{' '.join(run['command'])}`, {run['seconds']:.0f} s, {run['repetitions']} repetitions of "
        f"{run['turns']} turns; {machine['kernel']}, {machine['compiler']}, commit {run['commit'][:12]}. "
        "Medians; a ceiling is the plainest way to do as much, and bench/README.md says which.", "",
        table(run), ""])


def write(path, text):
    """All of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def main():
    options = parse()
    begun = time.monotonic()
    run = {"schema": results.SCHEMA, "command": command_line(options),
           "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
           "commit": commit_of(options.root), "version": version_of(options.bin),
           "machine": describe_machine(options.bin), "quick": options.quick,
           "turns": options.turns, "repetitions": options.repetitions}
    try:
        measured = rounds(options)
    except KeyboardInterrupt:
        return 130
    except (results.Unreadable, OSError) as error:
        print(f"bench.sh: {error}", file=sys.stderr)
        return 1
    run["seconds"] = round(time.monotonic() - begun, 1)
    run["benchmarks"] = measured
    results.check(run)
    write(options.out, json.dumps(run, indent=1) + "\n")
    write(options.out.with_suffix(".md"), document(run))
    print(table(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
