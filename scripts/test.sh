#!/usr/bin/env bash
# Every test there is, in a fresh clone as well:
#   scripts/test.sh [PART...]     parts: release, checks, asan, tsan, fuzz, planted; default all, in order
# release  builds everything, compiles each public header alone, runs unit, contract, process and
#          house tests, installs the library and builds clients against it
# checks   clang-format and clang-tidy, skipped where version 14 of them is not installed
# asan     the CPU suite under the address and undefined-behaviour sanitizers
# tsan     the suites whose ranks are threads (label `threads`) under the thread sanitizer
# fuzz     a million made-up files for what reads them (scripts/fuzz.sh)
# planted  bugs put in on purpose (tests/planted), each of which some test must notice
# Logs lie in build/test-logs. The last line is "N passed, N failed, N skipped", counted in single
# tests; the exit code is 0 if none failed and some passed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
parts=("$@")
[ $# -gt 0 ] || parts=(release checks asan tsan fuzz planted)
for part in "${parts[@]}"; do
  case $part in
    release | checks | asan | tsan | fuzz | planted) ;;
    *) echo "test.sh: no part '$part'; there are release, checks, asan, tsan, fuzz, planted" >&2; exit 2 ;;
  esac
done

passed=0 failed=0 skipped=0 begun=$SECONDS step_begun=$SECONDS ended=no
run_ctest=(ctest)
finish() {
  local code=$?
  if [ $ended = no ]; then
    echo "test.sh: ended early, exit code $code"
    failed=$((failed + 1))
  fi
  echo "test.sh: $((SECONDS - begun)) s in all; logs in build/test-logs"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ $failed -eq 0 ] && [ $passed -gt 0 ] || exit 1
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 129' HUP
trap 'exit 143' TERM

say() { echo "== $*"; step_begun=$SECONDS; }
took() { echo "   $* ($((SECONDS - step_begun)) s)"; }

# check NAME COMMAND...: one test that is a command; 77 is skipped. False if it failed.
check() {
  local name=$1 code=0
  shift
  say "$name"
  "$@" >"$logs/$name.log" 2>&1 || code=$?
  case $code in
    0) passed=$((passed + 1)); took "done" ;;
    77) skipped=$((skipped + 1)); took "skipped: $(tail -n 1 "$logs/$name.log")" ;;
    *)
      failed=$((failed + 1))
      echo "---- FAILED $name (exit code $code)"
      # A failed build says what is wrong first, not last.
      grep -m 40 -A 12 -E '(error|FAILED):?' "$logs/$name.log" || tail -n 60 "$logs/$name.log"
      took "failed"
      return 1
      ;;
  esac
}

# step NAME COMMAND...: must work for what follows, and is no test unless it fails.
step() {
  check "$@" || return 1
  passed=$((passed - 1))
}

# suite PRESET [ctest arguments]: runs the tests of a built tree and counts them.
suite() {
  local preset=$1 counts p f s
  shift
  say "$preset-tests"
  rm -rf "$logs/$preset" "$logs/$preset.xml"
  GTEST_OUTPUT="xml:$logs/$preset/" "${run_ctest[@]}" --test-dir "build/$preset" -j "$jobs" \
    --no-tests=error --output-junit "$logs/$preset.xml" "$@" >"$logs/$preset-tests.log" 2>&1 || true
  grep -E '^ *[0-9]+/[0-9]+ Test' "$logs/$preset-tests.log" | sed 's/^/   /' || true
  counts=$(python3 -B "$here/count_tests.py" "$preset" "$logs/$preset.xml" "$logs/$preset") || {
    tail -n 20 "$logs/$preset-tests.log"
    failed=$((failed + 1))
    took "could not be counted"
    return 0
  }
  sed '$d' <<<"$counts"
  read -r p f s < <(tail -n 1 <<<"$counts")
  [ $((p + f + s)) -gt 0 ] || { f=1; echo "---- FAILED $preset: no test ran"; }
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  took "$preset: $p tests passed, $f failed, $s skipped"
}

part_release() {
  step configure-release cmake --preset release -DZERO_TESTS=ON -DZERO_BENCH=ON || return 0
  check public-headers cmake --build build/release -j "$jobs" --target zero_header_check || true
  step build-release cmake --build build/release -j "$jobs" -- -k 0 || return 0
  suite release
}

part_checks() {
  step configure-checks cmake --preset release -DZERO_TESTS=ON -DZERO_BENCH=ON || return 0
  check clang-format "$here/format.sh" --check || true
  check clang-tidy "$here/tidy.sh" || true
}

part_asan() {
  step configure-asan cmake --preset asan || return 0
  step build-asan cmake --build build/asan -j "$jobs" -- -k 0 || return 0
  ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 \
    UBSAN_OPTIONS=print_stacktrace=1 suite asan
}

part_tsan() {
  step configure-tsan cmake --preset tsan || return 0
  step build-tsan cmake --build build/tsan -j "$jobs" --target zero_tests_threads -- -k 0 || return 0
  # Older thread sanitizers cannot lay out their shadow where the kernel randomises much.
  local fixed_addresses=()
  if setarch "$(uname -m)" -R true 2>/dev/null; then fixed_addresses=(setarch "$(uname -m)" -R); fi
  run_ctest=("${fixed_addresses[@]}" ctest)
  TSAN_OPTIONS=second_deadlock_stack=1 suite tsan -L '^threads$'
}

part_fuzz() {
  check fuzz "$here/fuzz.sh" || true
  sed -n 's/^fuzz: /   /p' "$logs/fuzz.log"
}

part_planted() {
  check planted-bugs python3 -B "$here/planted.py" --jobs "$jobs" || true
  grep -E 'caught|NOT NOTICED' "$logs/planted-bugs.log" | sed 's/^/   /' || true
}

"$here/setup.sh" build test
source "$here/build_settings.sh"
logs="$root/build/test-logs"
mkdir -p "$logs"
for part in "${parts[@]}"; do
  case $part in
    checks) drop_foreign_tree release ;;
    planted) ;;
    *) drop_foreign_tree "$part" ;;
  esac
  "part_$part"
done
ended=yes
