# Sourced by the other scripts: where the tree is, how many jobs, how to use ccache, how to build.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"

# ccache, where there is one, then serves every clone of this tree and not only this one.
export CCACHE_BASEDIR="$root" CCACHE_NOHASHDIR=1

# Compilers at once: one a core, and 1.5 GB of memory each.
job_count() {
  local cores kib limit
  cores=$(nproc)
  kib=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo 2>/dev/null || true)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  [ -n "$kib" ] || kib=1500000
  if [ "$limit" != max ] && [ $((limit / 1024)) -lt "$kib" ]; then kib=$((limit / 1024)); fi
  local jobs=$((kib / 1500000))
  [ "$jobs" -le "$cores" ] || jobs=$cores
  [ "$jobs" -ge 1 ] || jobs=1
  echo "$jobs"
}
jobs=$(job_count)

# Removes the build tree of a preset if it belongs to another place, as in a copied clone.
drop_foreign_tree() {
  local home
  home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "build/$1/CMakeCache.txt" 2>/dev/null || true)
  if [ -n "$home" ] && ! [ "$home" -ef "$root" ]; then rm -rf "build/$1"; fi
}

# The C++ and C files of the tree, each ended by a NUL.
cpp_files() {
  find . \( -path ./build -o -path ./out -o -path ./.git \) -prune -o \
    -type f \( -name '*.hpp' -o -name '*.cpp' -o -name '*.h' -o -name '*.c' -o -name '*.cu' \) -print0
}

# find_llvm clang-format|clang-tidy: prints the command of the version this tree is written with.
find_llvm() {
  local tool
  for tool in "$1-14" "$1"; do
    if "$tool" --version 2>/dev/null | grep -q 'version 14\.'; then
      echo "$tool"
      return 0
    fi
  done
  echo "no $1 of version 14 here" >&2
  return 1
}
