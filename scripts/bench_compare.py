#!/usr/bin/env python3
"""What changed beyond noise between two runs of scripts/bench.sh.

    scripts/bench_compare.py A.json B.json [--by ceiling|seconds] [--least PERCENT]
                             [--fail-on-slower]

--by ceiling (the default) compares times in units of the ceiling measured beside each, so that a
machine that became slower as a whole is not taken for a change; --by seconds compares the times.
Cases are named whose repetitions differ by more than they vary, all cases looked at together, and
by --least (5) per cent. Exit code 0; 1 with --fail-on-slower if anything became slower; 2 for a
file that is no such run, with one line.
"""

import argparse
import math
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # a comparison leaves nothing in the tree
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_runs import noise, results  # noqa: E402


def title(letter, path, run):
    few = min(len(entry["values"]) for entry in run["benchmarks"])
    return (f"{letter}: {path}, commit {str(run.get('commit'))[:12]}, {run.get('date')}, "
            f"{few} repetitions{', quick: too short to mean anything' if run.get('quick') else ''}")


def of_machines(first, second):
    """A line for each thing in which the two differ."""
    a, b = (run.get("machine") if isinstance(run.get("machine"), dict) else {}
            for run in (first, second))
    return [f"   machines differ in {key}: {a.get(key)!r}, {b.get(key)!r}"
            for key in sorted({*a, *b}) if a.get(key) != b.get(key)]


def per_cent(value):
    return "?" if math.isnan(value) else f"{100 * value:.1f} %"


def line(difference):
    how = "slower" if difference.ratio > 1 else "faster"
    before, after = difference.before, difference.after
    sides = [sorted(side["values"])[len(side["values"]) // 2] for side in (before, after)]
    ceilings = [sorted(side["fractions"])[len(side["fractions"]) // 2] for side in (before, after)]
    return (f"{how}  {difference.question}: {difference.name}  {difference.ratio:.3f} times as long "
            f"({sides[0]:.4g} s, {sides[1]:.4g} s; of the ceiling {ceilings[0]:.2f}, "
            f"{ceilings[1]:.2f}; a repetition varies by {per_cent(difference.spreads[0])}, "
            f"{per_cent(difference.spreads[1])})")


def report(found, chance):
    for difference in found.changed:
        print(line(difference))
    same = len(found.differences) - len(found.changed)
    print(f"{len(found.changed)} of {len(found.differences)} changed beyond noise, {same} did not "
          f"(where nothing changed, anything at all is named {100 * chance:g} times in 100)")
    for letter, names in zip("AB", found.missing):
        if names:
            print(f"only in {letter}: {', '.join(names)}")


def main():
    parser = argparse.ArgumentParser(description="What changed beyond noise.")
    parser.add_argument("first", metavar="A.json")
    parser.add_argument("second", metavar="B.json")
    parser.add_argument("--by", choices=["ceiling", "seconds"], default="ceiling")
    parser.add_argument("--least", type=float, default=5.0, metavar="PERCENT")
    parser.add_argument("--fail-on-slower", action="store_true")
    options = parser.parse_args()
    if not 0 <= options.least < 1000:
        print(f"bench_compare.py: --least {options.least}: expected 0 to 1000", file=sys.stderr)
        return 2
    try:
        first, second = results.read(options.first), results.read(options.second)
    except results.Unreadable as error:
        print(f"bench_compare.py: {error}", file=sys.stderr)
        return 2
    print(title("A", options.first, first))
    print(title("B", options.second, second))
    for different in of_machines(first, second):
        print(different)
    for letter, run in zip("AB", (first, second)):
        if min(len(entry["values"]) for entry in run["benchmarks"]) < 2:
            print(f"{letter} has cases of one repetition: of these nothing can be told")
    chance = 0.05
    found = noise.compare(first, second, options.by == "ceiling", options.least / 100, chance)
    if not found.differences:
        print("bench_compare.py: the two have no case in common", file=sys.stderr)
        return 2
    report(found, chance)
    slower = any(d.ratio > 1 for d in found.changed)
    return 1 if slower and options.fail_on_slower else 0


if __name__ == "__main__":
    sys.exit(main())
