#!/usr/bin/env bash
# Trains a model under a memory limit of the kernel that its state does not fit in, with state on
# disk, and in memory without a limit: losses and digests must be the same bit for bit.
#   scripts/offload_check.sh [--zero FILE] [--folder FOLDER] [small|gpt2-medium|gpt2-xl]
# small         gpt-11m under 160 MiB, in which the run in memory must end in an error
# gpt2-medium   5.3 GiB of state under 4 GiB; takes 6 GiB of disk, and 8 GiB of memory to compare with
# gpt2-xl       23 GiB of state under 8 GiB; takes 25 GiB of disk. There is no run to compare with:
#               losses must begin near that of a guess, ln V, and not rise
# Swap files without names lie in FOLDER (default $TMPDIR, else /var/tmp). Exits 77, with the reason,
# where memory cannot be limited or there is not the room.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
zero=$here/../build/release/bin/zero folder=${TMPDIR:-/var/tmp} model=
usage() { sed -n 's/^#   /usage: /p' "${BASH_SOURCE[0]}" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --zero) zero=${2:-} ;;
    --folder) folder=${2:-} ;;
    small | gpt2-medium | gpt2-xl) [ -z "$model" ] || usage; model=$1; shift; continue ;;
    *) usage ;;
  esac
  [ $# -ge 2 ] || usage
  shift 2
done
model=${model:-small}
skip() { echo "offload_check: skipped: $*"; exit 77; }
fail() { echo "offload_check: $*" >&2; exit 1; }
[ -x "$zero" ] || fail "no program at $zero: build it first, or say --zero"

# Limit and budget; steps; MiB of disk, and of memory for the run without offload.
case $model in
  small) limit=160MiB budget=40MiB steps=3 disk=256 memory=512 ;;
  gpt2-medium) limit=4GiB budget=700MiB steps=3 disk=6144 memory=8192 ;;
  gpt2-xl) limit=8GiB budget=1200MiB steps=2 disk=28672 memory=0 ;;
esac
name=$model
[ $model != small ] || name=gpt-11m
train=("$zero" train --ranks 2 --stage 3 --model $name --batch 2 --sequence 128 --steps $steps
       --deadline 300)

why=$("$here/memory_limit.sh" 64MiB -- true 2>&1) || skip "$(tail -n 1 <<<"$why")"
[ "$(stat -f -c %T "$folder")" != tmpfs ] || skip "$folder is in memory itself; say --folder"
free=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
[ "$free" -ge $disk ] || skip "$folder has $free MiB free of the $disk it takes"
free=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
[ "$free" -ge $memory ] || skip "there are $free MiB of memory of the $memory it takes"

work=$(mktemp -d "$folder/offload_check.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$work/swap"

# ---- what a run reported -----------------------------------------------------------------------
# Losses and digest as they stand in the report: doubles are written so that they read back exactly.
losses() { grep '"zero.step/1"' "$1" | grep -o '"loss":[^,]*' | cut -d : -f 2 | tr '\n' ' '; }
digest() { tail -n 1 "$1" | grep -o '"parameters_digest":"[0-9a-f]*"' | cut -d '"' -f 4; }
# The measured bytes of all ranks; what was predicted stands behind each rank's under the same name.
moved() {
  tail -n 1 "$1" | grep -o "\"$2\":[0-9]*" | cut -d : -f 2 |
    awk 'NR % 2 == 1 { sum += $1 } END { printf "%.0f", sum }'
}
seconds() { tail -n 1 "$1" | grep -o '"step_seconds":{"median":[0-9.e-]*' | cut -d : -f 3; }
peak() { sed -n 's/^memory_limit: //p' "$1"; }
show() {
  echo "offload_check: $1: $(peak "$work/$2.log")"
  echo "offload_check: $1: losses $(losses "$work/$2")digest $(digest "$work/$2")"
  echo "offload_check: $1: $(seconds "$work/$2") s a step (median)," \
    "disk bytes a step read $(moved "$work/$2" disk_read), written $(moved "$work/$2" disk_written)"
}

# ---- the runs ----------------------------------------------------------------------------------
offloaded=("${train[@]}" --offload-optimizer nvme --offload-parameters nvme --memory-budget $budget
           --nvme-path "$work/swap" --json "$work/offloaded")
echo "offload_check: $limit for: zero ${offloaded[*]:1}"
"$here/memory_limit.sh" $limit -- "${offloaded[@]}" >"$work/offloaded.log" 2>&1 ||
  { cat "$work/offloaded.log"; fail "the offloaded run failed"; }
show offloaded offloaded
[ "$(losses "$work/offloaded" | wc -w)" -eq $steps ] || fail "there are not $steps losses"
[ -z "$(ls -A "$work/swap")" ] || fail "something is left of the swap files"

if [ $model = gpt2-xl ]; then
  losses "$work/offloaded" | awk '{
    guess = log(50257)
    for (i = 1; i <= NF; ++i) {
      if ($i !~ /^[0-9.]+$/ || $i + 0 > $1 + 0.1) exit 1
    }
    exit ($1 < guess - 1 || $1 > guess + 1)
  }' || fail "these are no losses of a run that learns"
  echo "offload_check: $model done"
  exit 0
fi

if [ $model = small ]; then
  code=0
  "$here/memory_limit.sh" $limit -- "${train[@]}" >"$work/short.log" 2>&1 || code=$?
  echo "offload_check: in memory under $limit: exit code $code, $(peak "$work/short.log")"
  case $code in 3 | 6 | 137) ;; *) cat "$work/short.log"; fail "$limit is no limit for it" ;; esac
fi

"$here/memory_limit.sh" -- "${train[@]}" --json "$work/memory" >"$work/memory.log" 2>&1 ||
  { cat "$work/memory.log"; fail "the run in memory failed"; }
show "in memory" memory
[ "$(losses "$work/offloaded")" = "$(losses "$work/memory")" ] || fail "the losses differ"
[ -n "$(digest "$work/memory")" ] && [ "$(digest "$work/offloaded")" = "$(digest "$work/memory")" ] ||
  fail "the digests differ"
echo "offload_check: $model done: the same losses and the same digest"
