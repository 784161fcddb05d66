#!/usr/bin/env bash
# Builds what scripts/gpu_check.sh runs, where the dependencies are (no GPU is needed), into one
# folder that is taken to a machine with a GPU:
#   scripts/gpu_build.sh [--architecture 90] [--nccl]
# --architecture  the only one that is compiled for, as in sm_90
# --nccl          with NCCL, which the other machine must then have
# The folder is build/gpu/kit: stripped programs, lib/ with the shared libraries that such a machine
# may lack, and gpu_build.json, which says of what commit it is. There must be glibc as new as here,
# libcublasLt of the toolkit and the driver. Under 60 MiB in all, or it fails.
set -euo pipefail

fail() { echo "gpu_build.sh: $*" >&2; exit "${code:-1}"; }
architecture=90 nccl=OFF
while [ $# -gt 0 ]; do
  case $1 in
    --architecture)
      [[ ${2:-} =~ ^[1-9][0-9]+a?$ ]] || code=2 fail "--architecture ${2:-}: a number like 90 is wanted"
      architecture=$2
      shift
      ;;
    --nccl) nccl=ON ;;
    *) code=2 fail "$1: there are --architecture NUMBER and --nccl" ;;
  esac
  shift
done

source "$(dirname "${BASH_SOURCE[0]}")/build_settings.sh"
build=build/gpu kit=build/gpu/kit
limit=$((60 << 20))
# What the other machine has: glibc, the driver, and of the toolkit what is too large to bring.
there='^(linux-vdso|ld-linux.*|lib(c|m|dl|rt|pthread|cuda|cublasLt|nccl))\.so'

optional=()
[ $nccl = OFF ] || optional=(collectives_nccl_test)
read -r -a tests < <(PYTHONPATH=scripts python3 -B -c \
  'from gpu_checks.parts import TESTS, OPTIONAL_TESTS; print(*(t for t in TESTS if t not in OPTIONAL_TESTS))')
programs=("${tests[@]}" "${optional[@]}" bench_update_gpu zero)

drop_foreign_tree gpu
# A library that exists only as a shared one is brought along; DT_RPATH, other than DT_RUNPATH,
# serves the libraries that it needs in turn.
cmake --preset cuda -B $build -DZERO_CUDA_ARCHITECTURES="$architecture-real" -DZERO_NCCL=$nccl \
  -DZERO_MPI=OFF -DZERO_URING=OFF -DZERO_HWLOC=OFF -DZERO_EXAMPLES=OFF -DZERO_TORCH=OFF \
  -DZERO_SHARED=OFF -DZERO_TESTS=ON -DZERO_BENCH=ON -DZERO_CLI=ON \
  -DBUILD_SHARED_LIBS=OFF -DBoost_USE_STATIC_LIBS=ON \
  '-DCMAKE_BUILD_RPATH=$ORIGIN/lib' \
  '-DCMAKE_EXE_LINKER_FLAGS=-Wl,--as-needed -Wl,--disable-new-dtags'
cmake --build $build -j "$jobs" --target "${programs[@]/%zero/zero_command}"

rm -rf $kit
mkdir -p $kit/lib
for program in "${programs[@]}"; do
  strip -o "$kit/$program" "$build/bin/$program"
done

# Of OpenBLAS only what the programs call, where there is an archive to take it from: that is 10 MiB
# less than all of it, and needs no Fortran library.
archive=$(g++ -print-file-name=libopenblas.a)
calls=$(for program in "${programs[@]}"; do nm -D --undefined-only "$kit/$program"; done |
  grep -oE '\b(cblas|openblas)_\w+' | sort -u || true)
if [ -f "$archive" ] && [ -n "$calls" ]; then
  name=$(objdump -p "$kit/zero" | awk '/NEEDED.*openblas/ { print $2 }')
  # shellcheck disable=SC2046 # one word a call
  g++ -shared -s -Wl,-z,defs -Wl,-soname,"$name" -o "$kit/lib/$name" \
    $(printf -- '-Wl,-u,%s ' $calls) "$archive" -lpthread -lm
fi

needed() { for program in "${programs[@]}"; do ldd "$kit/$program"; done | sort -u; }
needed | while read -r name _ path _; do
  [[ $(basename "$name") =~ $there ]] && continue
  [ -f "$kit/lib/$name" ] && continue
  [ -f "$path" ] || fail "$name is needed and not found here"
  strip --strip-unneeded -o "$kit/lib/$name" "$path"
done
# Once more, of the folder as it will be taken: nothing may come from anywhere else.
strangers=$(needed | while read -r name _ path _; do
  [[ $(basename "$name") =~ $there || $path == "$root/$kit/lib/"* ]] || echo "$name ($path)"
done)
[ -z "$strangers" ] || fail "these come from outside the folder: $strangers"
stale=$(PYTHONPATH=scripts python3 -B -c 'import sys, pathlib
from gpu_checks.parts import filters_without_tests
print(*filters_without_tests(pathlib.Path(sys.argv[1])), sep="\n")' "$root/$kit")
[ -z "$stale" ] || fail "scripts/gpu_checks/parts.py names tests that are not there: $stale"

commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || commit="$commit, changed"
nvcc=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' $build/CMakeCache.txt)
cuda=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
python3 -B - "$commit" "$architecture" "$nccl" "$cuda" $kit <<'END'
import json, platform, sys
from pathlib import Path

commit, architecture, nccl, cuda, kit = sys.argv[1:]
files = {str(path.relative_to(kit)): path.stat().st_size
         for path in sorted(Path(kit).rglob("*")) if path.is_file()}
build = {"schema": "zero.gpu_build/1", "commit": commit, "architecture": architecture,
         "cuda": cuda, "nccl": nccl == "ON",
         "glibc": platform.libc_ver()[1], "bytes": sum(files.values()), "files": files}
Path(kit, "gpu_build.json").write_text(json.dumps(build, indent=1) + "\n", encoding="utf-8")
END

bytes=$(find $kit -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
[ "$bytes" -lt $limit ] || fail "$kit has $bytes bytes, and less than $limit is wanted"
echo "$kit: $((${#programs[@]})) programs, $((bytes >> 10)) KiB; scripts/gpu_check.sh runs them where a GPU is"
