#!/usr/bin/env bash
# What the tests do, at length, for machines that have an hour:
#   scripts/soak.sh [--kills 1000] [--background 200] [--calls 8] [--fuzz 5000000] [--repeat 10]
# kills       training jobs killed at every phase (tests/campaign/kills.py); evidence is kept
# background  the same, saving in the background
# calls       system calls that fail under the command, each kind at so many times
# fuzz        made-up files for what reads them
# repeat      how often the tests of processes and of checkpoints run, in another order each time
# 0 leaves a part out. Evidence and logs lie in build/soak; a part that fails does not end the rest.
# Without a failure in n kills a kill harms less than 3 times in n (95 %).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
kills=1000 background=200 calls=8 fuzz=5000000 repeat=10
while [ $# -gt 0 ]; do
  case $1 in
    --kills | --background | --calls | --fuzz | --repeat)
      [[ ${2:-} =~ ^[0-9]+$ ]] || { echo "soak.sh: $1 needs a number" >&2; exit 2; }
      printf -v "${1#--}" '%s' "$2"
      shift 2
      ;;
    *)
      echo "soak.sh: no option '$1'; there are --kills, --background, --calls, --fuzz, --repeat" >&2
      exit 2
      ;;
  esac
done

"$here/setup.sh" build test
source "$here/build_settings.sh"
cd "$root"
out="$root/build/soak"
mkdir -p "$out"
drop_foreign_tree release
cmake --preset release -DZERO_TESTS=ON >"$out/configure.log"
cmake --build build/release -j "$jobs" >"$out/build.log" || { tail -n 40 "$out/build.log"; exit 1; }
export OPENBLAS_NUM_THREADS=1
zero="$root/build/release/bin/zero"
passed=0 failed=0 skipped=0

# part NAME COMMAND...: one part, counted.
part() {
  local name=$1 code=0 begun=$SECONDS
  shift
  echo "== $name"
  "$@" >"$out/$name.log" 2>&1 || code=$?
  case $code in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)); echo "---- FAILED $name (exit code $code)" ;;
  esac
  tail -n 15 "$out/$name.log" | sed 's/^/   /'
  echo "   ($((SECONDS - begun)) s)"
}

campaign() { python3 -B tests/campaign/kills.py --zero "$zero" "$@"; }

[ "$kills" -eq 0 ] || part kills campaign --kills "$kills" --evidence "$out/kills.jsonl"
[ "$background" -eq 0 ] ||
  part background campaign --kills "$background" --async --evidence "$out/background.jsonl"
[ "$calls" -eq 0 ] ||
  part calls python3 -B tests/campaign/failing_calls_test.py "$zero" --times "$calls"
[ "$fuzz" -eq 0 ] || part fuzz "$here/fuzz.sh" "$fuzz"
for ((round = 1; round <= repeat; ++round)); do
  GTEST_SHUFFLE=1 GTEST_RANDOM_SEED=$((RANDOM + 1)) part "tests-$round" ctest \
    --test-dir build/release -j "$jobs" --no-tests=error --schedule-random \
    -R 'checkpoint|process|launch|restart' -E 'kill_campaign|failing_calls'
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
