"""Called by scripts/plan_check.sh, which says what the options are."""

import argparse
import sys
import tempfile
from pathlib import Path

from . import feasibility, predictions, recommendations, report
from .configurations import GROUPS
from .recommendations import BUDGETS
from .zero_command import Failed, Zero

# Of what, checked how, kept in files of which name.
PARTS = {"predictions": (GROUPS, predictions.check_group, "group", report.group_rows),
         "feasibility": (GROUPS, feasibility.check_group, "edges", report.edge_rows),
         "recommendations": (BUDGETS, recommendations.check_budget, "budget", report.budget_rows)}


def refuse(why):
    print(f"plan_check: {why}", file=sys.stderr)
    sys.exit(2)


def chosen(names, known):
    unknown = [name for name in names if name not in known]
    if unknown:
        refuse(f"--only: there is no {unknown[0]}; there are " + ", ".join(known))
    return [known[name] for name in names or known]


def main():
    parser = argparse.ArgumentParser(prog="plan_check", add_help=False)
    parser.add_argument("--zero", required=True)
    parser.add_argument("--folder")
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("out")
    options = parser.parse_args()
    if options.only and not options.part:
        refuse("--only needs --part beside it")
    for part in [options.part] if options.part else []:
        chosen(options.only, {each.name: each for each in PARTS[part][0]})
    out = Path(options.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse(f"OUT '{out}': {error.strerror}")
    if options.folder and not Path(options.folder).is_dir():
        refuse(f"--folder '{options.folder}' is no folder")
    with tempfile.TemporaryDirectory(prefix="plan_check.", dir=options.folder) as folder:
        zero = Zero(options.zero, folder)
        try:
            for part in [options.part] if options.part else PARTS:
                known, check, kind, rows = PARTS[part]
                for one in chosen(options.only, {each.name: each for each in known}):
                    found = check(zero, one)
                    report.write(out / f"{kind}-{one.name}.json", found)
                    print(rows(found), end="", flush=True)
        except Failed as why:
            sys.exit(f"plan_check: {why}")
    whole = report.summary(out)
    report.write(out / "plan_check.json", whole)
    (out / "plan_check.md").write_text(report.page(whole), encoding="utf-8")
    print(report.last_lines(whole), end="")
    return 0 if report.held(whole) else 1


if __name__ == "__main__":
    sys.exit(main())
