#!/usr/bin/env bash
# Formats the C++ of the tree with the .clang-format beside it.
#   scripts/format.sh           in place
#   scripts/format.sh --check   changes nothing, names what differs, exit code 1
# Exit code 77: there is no clang-format 14 here (other versions format differently).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/build_settings.sh"

tool=$(find_llvm clang-format) || exit 77
mode=(-i)
case "${1-}" in
  --check) mode=(--dry-run --Werror) ;;
  "") ;;
  *) echo "format.sh: unknown option $1; there is --check" >&2; exit 2 ;;
esac
cpp_files | xargs -0 -r -P "$jobs" -n 16 "$tool" --style=file "${mode[@]}" || exit 1
