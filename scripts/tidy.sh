#!/usr/bin/env bash
# Runs clang-tidy with the repository's .clang-tidy over the sources of the library and the command.
#   scripts/tidy.sh [BUILD_DIR] [REGEX]   default: build/release, the rooms
# Needs a configured tree. Exit code 77: there is no clang-tidy 14 here (others check other things).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/build_settings.sh"

tool=$(find_llvm clang-tidy) || exit 77
build=${1:-build/release}
pattern=${2:-'^(libzero|partition|collectives|offload)/'}
commands="$build/compile_commands.json"
[ -f "$commands" ] || { echo "tidy.sh: no $commands; configure first" >&2; exit 2; }

# Sources this build compiles, one a line, relative to the tree.
sources() {
  sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$commands" | sort -u |
    while read -r file; do
      case "$file" in "$root"/build/*) ;; "$root"/*) printf '%s\n' "${file#"$root"/}" ;; esac
    done | grep -E "$pattern"
}

# One process a source; its output is kept together and shown only if it has findings.
check_one() {
  local text
  # Flags that only gcc knows are no findings.
  text=$("$1" --quiet --extra-arg=-Wno-unknown-warning-option -p "$2" "$3" 2>&1) || {
    printf '%s\n' "$text"
    return 1
  }
}
export -f check_one
sources | tr '\n' '\0' |
  xargs -0 -r -P "$jobs" -I {} bash -c 'check_one "$@"' tidy "$tool" "$build" {} || exit 1
