#!/usr/bin/env bash
# Fuzzes what reads files under the address and undefined-behaviour sanitizers:
#   scripts/fuzz.sh [EXECUTIONS]     default 1000000, of all fuzzers together
# Fails if one finds something, executes fewer than it was told, or comes upon too few inputs that
# are accepted to have tried what follows. What was found lies in build/test-logs, its name begins
# with fuzz-; build/fuzz/bin/fuzz_NAME FILE tries it again.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
wanted=${1:-1000000}
[[ $wanted =~ ^[1-9][0-9]*$ ]] || { echo "fuzz.sh: EXECUTIONS is a number, not '$wanted'" >&2; exit 2; }
source "$here/build_settings.sh"
logs="$root/build/test-logs"
mkdir -p "$logs"
drop_foreign_tree fuzz
cmake --preset fuzz
cmake --build --preset fuzz -j "$jobs"

# The first number of the last line "...NAME: NUMBER" of a log; 0 if there is none.
figure() { { grep -oE "$1: +[0-9]+" "$2" || echo 0; } | tail -n 1 | grep -oE '[0-9]+$'; }

total=0 wrong=0
# fuzz NAME EXECUTIONS LONGEST: with a fresh seed, which the log begins with.
fuzz() {
  local name=$1 runs=$2 longest=$3 log="$logs/fuzz-$1.log" code=0 executed accepted
  local seeds="$root/tests/checkpoint/fuzz/seeds/$name" found="$root/build/fuzz/found/$name"
  rm -rf "$found" "$logs/fuzz-$name-"*
  mkdir -p "$found"
  # Rare features are not looked for: that took more time than trying inputs.
  ASAN_OPTIONS=malloc_context_size=3 UBSAN_OPTIONS=print_stacktrace=1 \
    "build/fuzz/bin/fuzz_$name" "$found" "$seeds" -runs="$runs" -max_len="$longest" \
    -dict=tests/checkpoint/fuzz/json.dict -timeout=20 -rss_limit_mb=2048 -entropic=0 -reload=0 \
    -print_final_stats=1 -artifact_prefix="$logs/fuzz-$name-" >"$log" 2>&1 || code=$?
  executed=$(figure number_of_executed_units "$log")
  accepted=$(figure accepted "$log")
  echo "fuzz: $name: $executed executed, $accepted of them accepted, exit code $code"
  total=$((total + executed))
  if [ "$code" -ne 0 ] || [ "$executed" -lt "$runs" ] || [ "$accepted" -lt $((runs / 200)) ]; then
    wrong=1
    tail -n 60 "$log"
  fi
}

manifests=$((wanted / 4))
fuzz manifest "$manifests" 4096
fuzz safetensors_header $((wanted - manifests)) 1024
echo "fuzz: $total executions in $SECONDS s"
[ "$wrong" -eq 0 ] && [ "$total" -ge "$wanted" ]
