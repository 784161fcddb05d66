#!/usr/bin/env bash
# Everything that needs a GPU, on a machine with one, from what scripts/gpu_build.sh made elsewhere:
#   scripts/gpu_check.sh [--only tests|trainer|bench|sanitizer]... [--limit SECONDS] [--out FOLDER]
#                        [--bin FOLDER]
# --only   these parts alone; default all four, in this order
# --limit  of the whole, default 540; each part has its share, and what it leaves goes to the next
# --out    default out/gpu: gpu_check.json (schema zero.gpu_check/1), gpu_check.md, gpu_check.log
# --bin    where the programs lie, default build/gpu/kit
# Needs the driver, cuBLAS of the CUDA toolkit, bash and python3; compute-sanitizer and PyTorch where
# they are. A part that fails is recorded and the others go on. Exit code 0, 1 if anything failed,
# 2 for wrong usage, 77 without a GPU; a bar that is not met, or a sanitizer that ran out of time, is
# reported and is no failure.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(dirname "$here")
given="scripts/gpu_check.sh$([ $# -eq 0 ] || printf ' %q' "$@")" only=() limit=540 out="$root/out/gpu" bin="$root/build/gpu/kit"
fail() { echo "gpu_check.sh: $*" >&2; exit 2; }

while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || fail "$1: there are --only, --limit, --out and --bin, each with a value"
  case $1 in
    --only)
      case $2 in
        tests | trainer | bench | sanitizer) only+=(--only "$2") ;;
        *) fail "--only $2: there are tests, trainer, bench and sanitizer" ;;
      esac
      ;;
    --limit)
      [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "--limit $2: a whole number of seconds is wanted"
      limit=$2
      ;;
    --out) out=$2 ;;
    --bin) bin=$2 ;;
    *) fail "$1: there are --only, --limit, --out and --bin, each with a value" ;;
  esac
  shift 2
done

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then
  echo "gpu_check.sh: no GPU here (nvidia-smi names none); nothing was checked"
  exit 77
fi
[ -f "$bin/gpu_build.json" ] || fail "$bin has no gpu_build.json: run scripts/gpu_build.sh where" \
  "the dependencies are, and bring the folder along"
mkdir -p "$out"
out=$(cd "$out" && pwd -P) bin=$(cd "$bin" && pwd -P)
chmod -R u+x "$bin" 2>/dev/null || true # a copy may have lost the modes

# The toolkit's cuBLAS, where the linker's own list does not have it.
for folder in "${CUDA_HOME:-/usr/local/cuda}"/{lib64,lib,targets/x86_64-linux/lib}; do
  [ -d "$folder" ] && LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder"
done
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}"
# A toolkit without cuBLAS beside a PyTorch that brought its own.
if ldd "$bin/zero" 2>/dev/null | grep -q 'libcublasLt.* not found'; then
  found=$(python3 -B -c 'import glob, sys
print(*[f for p in sys.path for f in glob.glob(p + "/nvidia/*/lib/libcublasLt.so.13")])')
  [ -z "$found" ] || LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$(dirname "${found%% *}")"
fi
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -B -m gpu_checks "${only[@]}" --limit "$limit" --bin "$bin" --out "$out" --root "$root" \
  --command "$given"
