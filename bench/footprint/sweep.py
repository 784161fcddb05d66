#!/usr/bin/env python3
"""The largest model that fits a budget per rank, predicted and measured; scripts/footprint.sh.

Writes footprint.json (schema zero.footprint/1), footprint.md and, with matplotlib, footprint.png and
footprint.svg. Exit code 1 if a measured byte differs from the prediction, if the next larger model
is not refused by the budget, or if a command fails; 2 for wrong usage.
"""

import argparse
import datetime
import json
import os
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))

import tables  # noqa: E402
from bench_runs.machine import commit_of, describe_machine, version_of  # noqa: E402
from models import MEMBERS, PRESETS, largest, member  # noqa: E402
from plans import TIERS, Failed, Planner  # noqa: E402
from runs import Trainer  # noqa: E402

MEBI, GIBI = 1 << 20, 1 << 30
QUICK = {"ranks": [1, 3], "budgets": [3 * MEBI], "device_budgets": [6 * MEBI], "stages": [0, 3],
         "presets": ["gpt-3m"]}
FULL = {"ranks": [1, 2, 4, 8, 64], "budgets": [32 * MEBI, 128 * MEBI, 512 * MEBI, 24 * 10**9],
        "device_budgets": [24 * 10**9, 80 * 10**9], "stages": [0, 1, 2, 3], "presets": PRESETS}
UNITS = {"": 1, "MiB": MEBI, "GiB": GIBI, "MB": 10**6, "GB": 10**9}


def size(text):
    found = re.fullmatch(r"([1-9]\d*)(|MiB|GiB|MB|GB)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 512MiB or 24GB")
    return int(found[1]) * UNITS[found[2]]


def listed(kind):
    def parse(text):
        return [kind(word) for word in text.split(",")]
    parse.__name__ = "list"
    return parse


def positive(text):
    if not re.fullmatch(r"[1-9]\d{0,6}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a count")
    return int(text)


def parse():
    parser = argparse.ArgumentParser(prog="scripts/footprint.sh", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny budgets, to see that it works")
    parser.add_argument("--ranks", type=listed(positive), metavar="N,N...")
    parser.add_argument("--budgets", type=listed(size), metavar="SIZE,SIZE...",
                        help="of all of a rank's memory")
    parser.add_argument("--device-budgets", type=listed(size), metavar="SIZE,SIZE...",
                        help="of a GPU's memory alone; predicted only")
    parser.add_argument("--most-memory", type=size, metavar="SIZE",
                        help="of a measured run, all ranks (default half of what is free)")
    parser.add_argument("--most-disk", type=size, metavar="SIZE",
                        help="of a measured run, all ranks (default a quarter of what is free)")
    parser.add_argument("--nvme-path", default=os.environ.get("TMPDIR") or "/var/tmp")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--zero", required=True, metavar="FILE", help="the command")
    options = parser.parse_args()
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    return options


class Sweep:
    def __init__(self, options):
        self.options = options
        self.planner = Planner(options.zero, options.stages, TIERS)
        self.trainer = Trainer(options.zero, options.nvme_path, options.most_memory,
                               options.most_disk)

    def budget_row(self, budget, ranks, stage, tier):
        """The largest model in all of a rank's memory, predicted and measured."""
        planner, case = self.planner, (ranks, stage, tier)
        number = largest(lambda n: planner.inside(member(n).options, *case, budget))
        row = {"of": "memory", "budget": budget, "ranks": ranks, "stage": stage, "tier": tier,
               "largest": None, "predicted": None, "measured": None, "not_run": None,
               "refused": None}
        if number is not None:
            model = member(number)
            row["largest"] = model.fields
            row["predicted"] = planner.inside(model.options, *case, budget)
            row["not_run"] = self.trainer.too_much(ranks, row["predicted"])
            if not row["not_run"]:
                row["measured"] = self.trainer.measure(model.options, *case, budget)
        following = 0 if number is None else number + 1
        if following < MEMBERS and ranks <= self.trainer.most_ranks:
            row["refused"] = self.trainer.refuses(member(following).options, *case, budget)
        return row

    def device_row(self, budget, ranks, stage, tier):
        """The same in a GPU's memory alone, predicted."""
        case = (ranks, stage, tier)
        number = largest(lambda n: self.planner.fits_device(member(n).options, *case, budget))
        model = None if number is None else member(number)
        return {"of": "device", "budget": budget, "ranks": ranks, "stage": stage, "tier": tier,
                "largest": model and model.fields,
                "predicted": model and self.planner.bytes(model.options, ranks, "cuda")[stage, tier]}

    def preset_row(self, name, ranks, stage):
        """What a model of a given size takes, in memory."""
        options = ["--model", name]
        held = self.planner.bytes(options, ranks)[stage, "none"]
        row = {"model": name, "ranks": ranks, "stage": stage, "tier": "none", "predicted": held,
               "measured": None, "not_run": self.trainer.too_much(ranks, held)}
        if not row["not_run"]:
            row["measured"] = self.trainer.measure(options, ranks, stage, "none")
        return row

    def each(self, budgets, tiers, make):
        rows = []
        for budget in budgets:
            for ranks in self.options.ranks:
                rows += [make(budget, ranks, stage, tier)
                         for stage in self.options.stages for tier in tiers]
                print(f"{tables.size(budget)}, {ranks} ranks: done", file=sys.stderr, flush=True)
        return rows

    def run(self):
        options = self.options
        rows = self.each(options.budgets, TIERS, self.budget_row)
        rows += self.each(options.device_budgets, TIERS, self.device_row)
        presets = [self.preset_row(name, ranks, stage) for name in options.presets
                   for ranks in options.ranks for stage in options.stages]
        return rows, presets


def faults(rows, presets):
    """What is not as it should be, a line each."""
    found = []
    for row in [*rows, *presets]:
        what = (f"{row.get('model') or tables.size(row['budget'])}, {row['ranks']} ranks, stage "
                f"{row['stage']}, {row['tier']}")
        measured = row.get("measured")
        if measured and not measured["equal"]:
            found.append(f"{what}: measured bytes are not the predicted ones")
        if measured and row["predicted"] != measured["measured"]:
            found.append(f"{what}: measured bytes are not those of zero plan")
        if measured and row.get("budget", measured["measured"]["peak"]) < measured["measured"]["peak"]:
            found.append(f"{what}: more was held than the budget")
        if row.get("refused") is False:
            found.append(f"{what}: the next larger model is not refused")
    return found


def main():
    options = parse()
    zero = Path(options.zero).resolve()
    options.zero = str(zero)
    try:
        rows, presets = Sweep(options).run()
    except (Failed, OSError) as error:
        print(f"footprint.sh: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    record = {"schema": "zero.footprint/1",
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "commit": commit_of(zero.parent), "version": version_of(zero.parent),
              "machine": describe_machine(zero.parent), "quick": options.quick,
              "formats": {"dtype": "bf16", "gradient_dtype": "bf16", "optimizer": "adamw",
                          "prefetch": 0}, "rows": rows, "presets": presets}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "footprint.json").write_text(json.dumps(record, indent=1) + "\n",
                                                encoding="utf-8")
    text = tables.document(record)
    (options.out / "footprint.md").write_text(text, encoding="utf-8")
    print(text)
    try:
        import chart
        chart.draw(record, options.out)
    except ImportError:
        print("footprint.sh: no picture: matplotlib is not here (Debian: python3-matplotlib)",
              file=sys.stderr)
    wrong = faults(rows, presets)
    for line in wrong:
        print(f"footprint.sh: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
