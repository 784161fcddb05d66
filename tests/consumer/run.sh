#!/usr/bin/env bash
# The life of an installed client:
#   run.sh install   static|shared BUILD_DIR   install into a fresh prefix with a space in its path
#   run.sh cmake     static|shared BUILD_DIR   find_package(libzero) from there, build, run
#   run.sh pkgconfig static|shared BUILD_DIR   the same with pkg-config and a bare compiler
# BUILD_DIR is a configured and built tree; its kind of library is installed as it is, the other
# kind is built beside it. What is written lies under BUILD_DIR/consumer.
set -euo pipefail

action=$1 kind=$2 build=$(cd "$3" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work="$build/consumer/$kind"
prefix="$work/installed there"
cxx=${CXX:-c++}

cached() { sed -n "s/^$1:[^=]*=//p" "$build/CMakeCache.txt"; }

# The README's example is a program too, as soon as the room it speaks of is there.
readme_program() {
  [ -f "$root/libzero/engine/CMakeLists.txt" ] || return 0
  sed -n '/^```cpp$/,/^```$/p' "$root/README.md" | sed '/^```/d' >"$work/readme.cpp"
  [ -s "$work/readme.cpp" ] || { echo "README.md has no \`\`\`cpp block" >&2; return 1; }
  echo "$work/readme.cpp"
}

install_library() {
  local shared=OFF from="$build"
  [ "$kind" = shared ] && shared=ON
  rm -rf "$work"
  mkdir -p "$work"
  case "$(cached BUILD_SHARED_LIBS)/$shared" in
    ON/ON | /OFF | OFF/OFF) ;;
    *)
      from="$work/library"
      # Linking is what is tested: unoptimised, vector code for one target only, to compile fast.
      cmake -S "$root" -B "$from" -G "$(cached CMAKE_GENERATOR)" -DBUILD_SHARED_LIBS=$shared \
        -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-DHWY_COMPILE_ONLY_STATIC -DZERO_WERROR=ON \
        -DZERO_TESTS=OFF -DZERO_BENCH=OFF -DZERO_CLI=OFF \
        -DZERO_CUDA="$(cached ZERO_CUDA)" -DZERO_NCCL="$(cached ZERO_NCCL)" \
        -DZERO_CUDA_ARCHITECTURES=90-real
      cmake --build "$from"
      ;;
  esac
  # Installed in one place and moved to another: nothing may remember where it was.
  cmake --install "$from" --prefix "$work/first place"
  mv "$work/first place" "$prefix"
}

# The prefix holds this kind of library and no other.
check_kind() {
  local found
  found=$(find "$prefix" -name 'libzero.a' -o -name 'libzero.so' | sed 's/.*\.//' | sort | xargs)
  case "$kind/$found" in
    static/a | shared/so) ;;
    *) echo "a $kind library was to be installed, found: $found" >&2; return 1 ;;
  esac
}

build_with_cmake() {
  local programs="$here/project/program.cpp" extra
  extra=$(readme_program)
  rm -rf "$work/with cmake"
  cmake -S "$here/project" -B "$work/with cmake" -G "$(cached CMAKE_GENERATOR)" \
    -DCMAKE_PREFIX_PATH="$prefix" -DPROGRAMS="$programs${extra:+;$extra}"
  cmake --build "$work/with cmake"
  "$work/with cmake/program"
  [ -z "$extra" ] || "$work/with cmake/readme"
}

build_with_pkgconfig() {
  local pc_dir flags extra source
  pc_dir=$(dirname "$(find "$prefix" -name libzero.pc)")
  flags=$(PKG_CONFIG_PATH="$pc_dir" pkg-config --cflags --libs libzero)
  extra=$(readme_program)
  mkdir -p "$work/with pkgconfig"
  cd "$work/with pkgconfig"
  for source in "$here/project/program.cpp" ${extra:+"$extra"}; do
    # eval, because pkg-config quotes for a shell, as make would read it.
    eval "$cxx -std=c++17 -Wall -Wextra -Wpedantic -Werror -o program \"\$source\" $flags"
    LD_LIBRARY_PATH="$(dirname "$pc_dir")" ./program
  done
}

case $action in
  install)
    install_library
    check_kind
    ;;
  cmake) build_with_cmake ;;
  pkgconfig) build_with_pkgconfig ;;
  *) echo "run.sh: unknown action $action" >&2; exit 2 ;;
esac
