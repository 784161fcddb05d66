#!/usr/bin/env bash
# The life of an installed client:
#   run.sh install    BUILD_DIR     install into a fresh prefix, move it to a path with a space
#   run.sh cmake      BUILD_DIR static|shared   find_package(libzero) from there, build, run
#   run.sh pkgconfig  BUILD_DIR static|shared   the same with pkg-config and bare compilers
#   run.sh c_only     BUILD_DIR     a project without C++, both kinds
#   run.sh torch      BUILD_DIR     a project with LibTorch
#   run.sh components BUILD_DIR     what find_package says about components
# BUILD_DIR is a configured and built tree. What is written lies under BUILD_DIR/consumer, or under
# CONSUMER_DIR, whose folder `installed there` may have come from elsewhere.
set -euo pipefail

action=$1 build=$(cd "$2" && pwd) kind=${3:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${CONSUMER_DIR:-$build/consumer}
prefix="$work/installed there"
cc=${CC:-cc} cxx=${CXX:-c++}
fail() { echo "run.sh $action: $*" >&2; exit 1; }
cached() { sed -n "s/^$1:[^=]*=//p" "$build/CMakeCache.txt"; }

install_library() {
  rm -rf "$work"
  cmake --install "$build" --prefix "$work/first place" >/dev/null
  mv "$work/first place" "$prefix"
  # Nothing remembers where it was or was built, and what JSON is read with is no client's business.
  local found
  found=$(grep -rlFe "$work" -e "$build" -e "$root" "$prefix" --include='*.cmake' --include='*.pc' \
    --include='*.h*' || true)
  [ -z "$found" ] || fail "a path of this machine in: $found"
  found=$(grep -rliE 'nlohmann|json' "$prefix" --include='*.cmake' --include='*.pc' || true)
  [ -z "$found" ] || fail "JSON is named in: $found"
  [ ! -e "$prefix/bin/zero" ] || "$prefix/bin/zero" info >/dev/null
}

# The README's example is a program too.
readme_program() {
  sed -n '/^```cpp$/,/^```$/p' "$root/README.md" | sed '/^```/d' >"$1"
  [ -s "$1" ] || fail 'README.md has no ```cpp block'
}

# check_kind PROGRAM: it needs libzero.so if and only if that is what was asked for.
check_kind() {
  local needed=static libraries
  libraries=$(objdump -p "$1")
  if grep -q 'NEEDED *libzero\.so\.0$' <<<"$libraries"; then needed=shared; fi
  [ $needed = "$kind" ] || fail "$1 was linked with the $needed library"
}

build_with_cmake() {
  local place="$work/with cmake, $kind" program
  rm -rf "$place"
  mkdir -p "$place"
  readme_program "$place/readme.cpp"
  cmake -S "$here/project" -B "$place" -G "$(cached CMAKE_GENERATOR)" \
    -DCMAKE_PREFIX_PATH="$prefix" -DKIND="$kind" -DPROGRAM="$place/readme.cpp"
  cmake --build "$place"
  for program in c99 cxx17 cxx20 extra; do
    check_kind "$place/$program"
    "$place/$program"
  done
}

build_with_pkgconfig() {
  local pc_dir cflags libs version program place="$work/with pkgconfig, $kind"
  pc_dir=$(dirname "$(find "$prefix" -name libzero.pc)")
  export PKG_CONFIG_PATH="$pc_dir"
  version=$(pkg-config --modversion libzero)
  cflags="$(pkg-config --cflags libzero) -DVERSION='\"$version\"' -Wall -Wextra -Wpedantic -Werror"
  libs=$(pkg-config --libs libzero)
  if [ "$kind" = static ]; then
    libs=$(pkg-config --static --libs libzero | sed 's/-lzero\b/-l:libzero.a/')
  fi
  rm -rf "$place"
  mkdir -p "$place"
  cd "$place"
  # eval, because pkg-config quotes for a shell, as make would read it.
  eval "$cc -std=c99 $cflags -o c99 \"\$here/project/program.c\" $libs"
  eval "$cxx -std=c++17 $cflags -o cxx17 \"\$here/project/program.cpp\" $libs"
  eval "$cxx -std=c++20 $cflags -o cxx20 \"\$here/project/program.cpp\" $libs"
  for program in c99 cxx17 cxx20; do
    check_kind "$program"
    LD_LIBRARY_PATH="$(dirname "$pc_dir")" "./$program"
  done
}

build_c_only() {
  rm -rf "$work/c only"
  cmake -S "$here/c_only" -B "$work/c only" -G "$(cached CMAKE_GENERATOR)" \
    -DCMAKE_PREFIX_PATH="$prefix"
  cmake --build "$work/c only"
  for kind in static shared; do
    check_kind "$work/c only/c_$kind"
    "$work/c only/c_$kind"
  done
}

build_with_torch() {
  rm -rf "$work/torch"
  cmake -S "$here/torch" -B "$work/torch" -G "$(cached CMAKE_GENERATOR)" \
    -DCMAKE_PREFIX_PATH="$prefix" -DZERO_TORCH_ROOT="$(cached ZERO_TORCH_ROOT)" \
    -DTorch_DIR="$(cached Torch_DIR)"
  cmake --build "$work/torch"
  "$work/torch/torch_client"
}

ask_for_components() {
  local built_in=${BUILT_IN:?what is to be there}
  rm -rf "$work/components"
  cmake -S "$here/components" -B "$work/components" -G "$(cached CMAKE_GENERATOR)" \
    -DCMAKE_PREFIX_PATH="$prefix" -DBUILT_IN="$built_in" \
    -DZERO_TORCH_ROOT="$(cached ZERO_TORCH_ROOT)" -DTorch_DIR="$(cached Torch_DIR)"
}

case $action in
  install) install_library ;;
  cmake) build_with_cmake ;;
  pkgconfig) build_with_pkgconfig ;;
  c_only) build_c_only ;;
  torch) build_with_torch ;;
  components) ask_for_components ;;
  *) fail "unknown action" ;;
esac
