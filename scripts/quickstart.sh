#!/usr/bin/env bash
# From a fresh clone to the main job: installs what is missing, builds the command `zero`, trains
# one model at stages 0 to 3 over four ranks and shows that they end with the same parameters.
#   scripts/quickstart.sh [options of `zero compare`, in place of the defaults below]
# A second run installs nothing and rebuilds only what changed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
start=$PWD
defaults=(--ranks 4 --stages 0,1,2,3 --model gpt-3m --steps 20
          --output "${here%/scripts}/out/quickstart")

case "${1-}" in
  -h | --help)
    sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    echo "Defaults: ${defaults[*]}"
    exit 0
    ;;
esac

# What the caller gave, then each default that the caller did not give.
arguments=("$@")
output=
for ((i = 0; i < ${#defaults[@]}; i += 2)); do
  given=no
  for ((j = 0; j < ${#arguments[@]}; ++j)); do
    case "${arguments[j]}" in
      "${defaults[i]}") given=yes value=${arguments[j + 1]-} ;;
      "${defaults[i]}="*) given=yes value=${arguments[j]#*=} ;;
    esac
  done
  if [ $given = no ]; then
    value=${defaults[i + 1]}
    arguments+=("${defaults[i]}" "$value")
  fi
  [ "${defaults[i]}" != --output ] || output=$value
done

"$here/setup.sh" build
source "$here/build_settings.sh"

echo "quickstart: building with $jobs jobs"
table=$(mktemp)
trap 'rm -f "$table"' EXIT
options=()
drop_foreign_tree release
# A tree that builds the tests already goes on doing so.
[ -f build/release/build.ninja ] || options=(-DZERO_TESTS=OFF -DZERO_BENCH=OFF)
cmake --preset release "${options[@]}" >"$table" 2>&1 || {
  cat "$table" >&2
  exit 1
}
cmake --build build/release --target zero_command -j "$jobs"

cd "$start"  # paths among the options are the caller's
echo "quickstart: zero compare ${arguments[*]}"
"$root/build/release/bin/zero" compare "${arguments[@]}" | tee -i "$table"

cp "$table" "$output/table.txt"
echo
echo "table   $output/table.txt"
for kind in json html; do
  for file in "$output"/*."$kind"; do
    [ ! -f "$file" ] || printf '%-7s %s\n' "$([ $kind = json ] && echo JSON || echo report)" "$file"
  done
done
