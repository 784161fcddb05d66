#!/usr/bin/env bash
# The largest model that fits a budget per rank, over ranks, stages and tiers: predicted by
# `zero plan`, and up to what this machine holds measured by `zero train`.
#   scripts/footprint.sh [--quick] [--out FOLDER] [--zero FILE] [options of bench/footprint/sweep.py]
# --quick  tiny budgets: shows that it works
# --out    default out/footprint: footprint.json (schema zero.footprint/1), footprint.md and, where
#          matplotlib is, footprint.png and footprint.svg
# --zero   the command; default builds that of the preset release
# Other options: --ranks 1,2,4 --budgets 32MiB,24GB --device-budgets 80GB --most-memory SIZE
# --most-disk SIZE --nvme-path DIR. Exit code 1 if a measured byte is not the predicted one, or a
# model that should be too large is not refused; 2 for wrong usage.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
start=$PWD out="${here%/scripts}/out/footprint" zero= arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --out | --zero)
      [ $# -ge 2 ] || { echo "footprint.sh: $1: a value is missing" >&2; exit 2; }
      if [ "$1" = --out ]; then out=$2; else zero=$2; fi
      shift
      ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

if [ -z "$zero" ]; then
  source "$here/build_settings.sh"
  drop_foreign_tree release
  [ -f build/release/build.ninja ] || cmake --preset release -DZERO_TESTS=OFF -DZERO_BENCH=OFF >/dev/null
  cmake --build build/release -j "$jobs" --target zero_command >&2
  zero=$root/build/release/bin/zero
  cd "$start"
fi
[ -x "$zero" ] || { echo "footprint.sh: --zero $zero: no program" >&2; exit 2; }

# The first python3 that can draw, or else the first.
python=
for found in python3 /usr/bin/python3; do
  command -v $found >/dev/null || continue
  python=${python:-$found}
  if $found -c 'import matplotlib' 2>/dev/null; then
    python=$found
    break
  fi
done
[ -n "$python" ] || { echo "footprint.sh: there is no python3" >&2; exit 2; }
exec "$python" -B "$here/../bench/footprint/sweep.py" "${arguments[@]}" --out "$out" --zero "$zero"
