#!/usr/bin/env bash
# The Debian packages, without root and without installing anything:
#   packages.sh BUILD_DIR COMPONENT...   make them, look into them, build a client against them
# Skipped (exit code 77, with the reason) where the programs that make packages are not there.
set -euo pipefail

build=$(cd "$1" && pwd)
components=("${@:2}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work="$build/consumer packages"
fail() { echo "packages.sh: $*" >&2; exit 1; }
for tool in cpack dpkg-deb dpkg-shlibdeps; do
  command -v $tool >/dev/null || { echo "$tool is not here"; exit 77; }
done

cached() { sed -n "s/^$1:[^=]*=//p" "$build/CMakeCache.txt"; }
version=$(cached CMAKE_PROJECT_VERSION)
declare -A name_of=([runtime]="libzero${version%%.*}" [dev]=libzero-dev [tools]=libzero-tools)
# What each may hold, all of it, and one thing it must hold.
declare -A may_hold=(
  [runtime]="usr/lib/([^/]+/)?libzero\.so\.[0-9.]+"
  [dev]="usr/include/zero/.+\.hp?p?|usr/lib/([^/]+/)?(libzero\.(so|a)|cmake/libzero/.+\.cmake|pkgconfig/libzero\.pc)"
  [tools]="usr/bin/zero|usr/share/libzero/report/[a-z_]+\.py"
)
declare -A must_hold=([runtime]="libzero.so.$version" [dev]="zero/zero.h" [tools]="bin/zero")
# Words of Depends. The command is linked with the static library.
declare -A depends=([runtime]="libc6 libstdc++6 libhwy" [dev]="${name_of[runtime]} (= $version)"
  [tools]="libc6 libstdc++6 libhwy libboost-program-options libfmt")

rm -rf "$work"
mkdir -p "$work/control"
cpack --config "$build/CPackConfig.cmake" -B "$work/made" >"$work/cpack.log" 2>&1 ||
  { cat "$work/cpack.log"; fail "cpack failed"; }

made=$(find "$work/made" -maxdepth 1 -name '*.deb' -printf '%f\n' | sort | xargs)
wanted=$(for c in "${components[@]}"; do
  echo "${name_of[$c]}_${version}_$(dpkg --print-architecture).deb"
done | sort | xargs)
[ "$made" = "$wanted" ] || fail "made $made, not $wanted"

for component in "${components[@]}"; do
  package=$(find "$work/made" -maxdepth 1 -name "${name_of[$component]}_*.deb")
  field() { dpkg-deb -f "$package" "$1"; }
  [ "$(field Package)" = "${name_of[$component]}" ] || fail "the name is $(field Package)"
  [ "$(field Version)" = "$version" ] || fail "the version is $(field Version)"
  [[ $(field Maintainer) =~ ^[^\<]+\ \<.+@.+\>$ ]] || fail "the maintainer is $(field Maintainer)"
  [ "$(field Description | wc -l)" -ge 2 ] || fail "no description: $(field Description)"
  for word in ${depends[$component]}; do
    grep -qF -- "$word" <<<"$(field Depends)" || fail "$component depends on $(field Depends)"
  done
  files=$(dpkg-deb -c "$package" | awk '!/^d/ { print $6 }' | sed 's|^\./||')
  strangers=$(grep -Evx "${may_hold[$component]}" <<<"$files" || true)
  [ -z "$strangers" ] || fail "$component holds $strangers"
  grep -qF "${must_hold[$component]}" <<<"$files" || fail "$component lacks ${must_hold[$component]}"
  dpkg-deb -x "$package" "$work/extracted"
  dpkg-deb -e "$package" "$work/control/$component"
done
grep -q "^libzero ${version%%.*} libzero${version%%.*}" "$work/control/runtime/shlibs" ||
  fail "the package of the library does not say who needs it"
found=$(grep -rlF "$root" "$work/extracted" "$work/control" || true)
[ -z "$found" ] || fail "a path of this machine in: $found"

# A client of what was extracted.
mkdir -p "$work/client"
mv "$work/extracted/usr" "$work/client/installed there"
[ ! -e "$work/client/installed there/bin/zero" ] || "$work/client/installed there/bin/zero" info
export CONSUMER_DIR="$work/client"
bash "$here/run.sh" cmake "$build" shared
bash "$here/run.sh" pkgconfig "$build" shared
