#!/usr/bin/env bash
# Trains what `zero plan` predicts, and compares: 40 configurations by bytes, by seconds of a step
# after --calibrate, and by what fits around the edges of a budget; and for six budgets the
# recommendation with all else that fits, by measurement.
#   scripts/plan_check.sh [--zero FILE] [--folder FOLDER]
#                         [--part predictions|feasibility|recommendations [--only NAME]...] OUT
# Needs a machine that does nothing else, for 15 minutes; --part and --only NAME (a group of
# configurations, or a budget) take some of them at a time. What is found is kept in OUT, a file a
# group and a budget; plan_check.json and plan_check.md there are of all that lies there. Swap files
# lie in FOLDER (default $TMPDIR, else /tmp). Exits 1 where a bar is not met.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
zero=$here/build/release/bin/zero
words=()
while [ $# -gt 0 ]; do
  case $1 in
    --zero)
      [ $# -ge 2 ] || { echo "plan_check: --zero needs a file" >&2; exit 2; }
      zero=$2
      shift 2
      ;;
    -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) words+=("$1"); shift ;;
  esac
done
[ -x "$zero" ] || { echo "plan_check: no program at $zero: build it first, or say --zero" >&2; exit 2; }
zero=$(cd "$(dirname "$zero")" && pwd -P)/$(basename "$zero")
PYTHONPATH=$here/bench exec python3 -B -m plan_check --zero "$zero" ${words[@]+"${words[@]}"}
