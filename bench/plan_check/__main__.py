"""Called by scripts/plan_check.sh, which says what the options are."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from . import report
from .configurations import GROUPS
from .predictions import check_group
from .recommendations import BUDGETS, check_budget
from .zero_command import Failed, Zero


def chosen(names, known, what):
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(f"plan_check: no {what} is called {sorted(unknown)[0]}; there are: "
                         + ", ".join(known))
    return names or list(known)


def main():
    parser = argparse.ArgumentParser(prog="plan_check", add_help=False)
    parser.add_argument("--zero", required=True)
    parser.add_argument("--folder")
    parser.add_argument("--part", choices=("predictions", "recommendations"))
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--times-only", action="store_true")
    parser.add_argument("out")
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    groups = {g.name: g for g in GROUPS}
    budgets = {b.name: b for b in BUDGETS}
    parts = [options.part] if options.part else ["predictions", "recommendations"]
    with tempfile.TemporaryDirectory(prefix="plan_check.", dir=options.folder) as folder:
        zero = Zero(options.zero, folder)
        try:
            if "predictions" in parts:
                for name in chosen(options.only, groups, "group"):
                    found = check_group(zero, groups[name], not options.times_only)
                    report.write(out / f"group-{name}.json", found)
                    print(report.group_rows(found), end="", flush=True)
            if "recommendations" in parts:
                names = [] if "predictions" in parts else options.only
                for name in chosen(names, budgets, "budget"):
                    found = check_budget(zero, budgets[name])
                    report.write(out / f"budget-{name}.json", found)
                    print(report.budget_rows(found), end="", flush=True)
        except Failed as why:
            sys.exit(f"plan_check: {why}")
    whole = report.summary(out)
    report.write(out / "plan_check.json", whole)
    (out / "plan_check.md").write_text(report.page(whole), encoding="utf-8")
    print(report.last_lines(whole), end="")
    return 0 if report.held(whole) else 1


if __name__ == "__main__":
    sys.exit(main())
