#!/usr/bin/env bash
# Measures every question, or those named, each beside its ceiling, and writes one JSON:
#   scripts/bench.sh [--quick] [--out FILE] [--repetitions N] [--turns N] [--directory DIR]
#                    [--bin FOLDER] [QUESTION...]
# QUESTION       update norm cast reduce_scatter all_gather barrier transfer disk_read disk_write
#                update_from_disk gather checkpoint
# --quick        small arrays, 2 repetitions of 2 turns: shows that it works, measures nothing
# --out          default out/bench.json (schema zero.bench/1, see bench/README.md), a table beside
# --repetitions  processes of each question, default 5; all questions take turns in rounds
# --turns        of each case and its ceiling in a process, default 7
# --directory    for what needs a disk, default $ZERO_BENCH_DIRECTORY or /var/tmp
# --bin          binaries that are built already; default builds the preset release
# Prints a table. scripts/bench_compare.py A B says what changed between two of them. Exit code 1 if
# a benchmark fails, 2 for wrong usage.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
start=$PWD known=" update norm cast reduce_scatter all_gather barrier transfer disk_read disk_write update_from_disk gather checkpoint "
fail() { echo "bench.sh: $*" >&2; exit 2; }

arguments=() questions=() out="${here%/scripts}/out/bench.json" bin=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --quick) arguments+=(--quick) ;;
    --out | --bin | --repetitions | --turns | --directory)
      [ $# -ge 2 ] || fail "$1: a value is missing"
      case $1 in
        --out) out=$2 ;;
        --bin) bin=$2 ;;
        --directory) arguments+=("$1" "$2") ;;
        *)
          [[ $2 =~ ^[1-9][0-9]{0,3}$ ]] || fail "$1 $2: expected 1 to 9999"
          arguments+=("$1" "$2")
          ;;
      esac
      shift
      ;;
    *)
      [[ $1 != *" "* && $known == *" $1 "* ]] || fail "$1: the questions are$known"
      questions+=("$1")
      ;;
  esac
  shift
done
command -v python3 >/dev/null || fail "there is no python3"
[ ${#questions[@]} -gt 0 ] || read -r -a questions <<<"$known"

if [ -z "$bin" ]; then
  source "$here/build_settings.sh"
  drop_foreign_tree release
  cmake --preset release -DZERO_BENCH=ON >/dev/null
  cmake --build build/release -j "$jobs" --target "${questions[@]/#/bench_}" >&2
  bin=build/release/bin
  bin=$(cd "$bin" && pwd -P)
  cd "$start"
fi
for question in "${questions[@]}"; do
  [ -x "$bin/bench_$question" ] || fail "$bin has no bench_$question"
done
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
python3 -B -m bench_runs "${arguments[@]}" --out "$out" --bin "$bin" --root "${here%/scripts}" \
  "${questions[@]}"
echo
echo "JSON    $out"
