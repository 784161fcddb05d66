#!/usr/bin/env bash
# Runs a command, and all it starts, under a memory limit that the kernel enforces: a memory control
# group of version 2 or 1, made below the group this runs in, without swap. What the command leaves
# running is killed, and the group is removed, also after a signal.
#   scripts/memory_limit.sh [LIMIT] -- COMMAND [ARGUMENT...]
# LIMIT is bytes or as in 512MiB, 4GiB; without it memory is only measured. The exit code is the
# command's; 77, after one line that says why, where no group can be made; 2 for wrong usage. The
# last line on standard error is the most that the group held at one instant, page cache and shared
# memory included, and how many processes were killed for it.
# SIGINT, SIGTERM and SIGHUP go on to the command; at the second one everything in the group is killed.
set -euo pipefail

usage() { sed -n 's/^#   /usage: /p' "${BASH_SOURCE[0]}" >&2; exit 2; }
cannot() { echo "memory_limit: cannot limit memory here: $*" >&2; exit 77; }

bytes_of() {
  local number unit
  [[ $1 =~ ^([0-9]+)(|KiB|MiB|GiB)$ ]] || return 1
  number=${BASH_REMATCH[1]} unit=${BASH_REMATCH[2]}
  case $unit in
    KiB) echo $((number << 10)) ;;
    MiB) echo $((number << 20)) ;;
    GiB) echo $((number << 30)) ;;
    *) echo "$number" ;;
  esac
}

limit=
if [ $# -gt 0 ] && [ "$1" != -- ]; then
  limit=$(bytes_of "$1") || {
    echo "memory_limit: LIMIT '$1' is not accepted; expected bytes, or a number and KiB, MiB or GiB" >&2
    exit 2
  }
  shift
fi
[ $# -ge 2 ] && [ "$1" = -- ] || usage
shift

# ---- where a group can be made -----------------------------------------------------------------
# The folder below mount point $2, whose root in the hierarchy is $1, of group $3.
folder_of() {
  local root=${1%/} below
  below=${3#"$root"}
  # A name of outside this container is none here.
  if [ "$root$below" = "$3" ] && [ -d "$2$below" ]; then echo "$2${below%/}"; else echo "$2"; fi
}

# mounted TYPE [OPTION]: "root mount-point" of the control groups of that type.
mounted() {
  awk -v type="$1" -v option="${2:-}" '{
    for (dash = 7; $dash != "-"; ++dash);
    if ($(dash + 1) == type && (option == "" || ("," $(dash + 3) ",") ~ ("," option ","))) {
      print $4, $5; exit } }' /proc/self/mountinfo
}

version= parent=
read -r root point < <(mounted cgroup2) || true
if [ -n "${point:-}" ] && grep -qw memory "$point/cgroup.controllers" 2>/dev/null; then
  version=2
  parent=$(folder_of "$root" "$point" "$(sed -n 's/^0:://p' /proc/self/cgroup)")
  # A group that holds processes hands no controllers on: the next one above that does.
  until grep -qw memory "$parent/cgroup.subtree_control" 2>/dev/null; do
    [ "$parent" != "$point" ] || cannot "no group above this process hands the memory controller on"
    parent=${parent%/*}
  done
else
  read -r root point < <(mounted cgroup memory) || true
  [ -n "${point:-}" ] || cannot "no memory controller is mounted"
  version=1
  parent=$(folder_of "$root" "$point" \
    "$(awk -F: '("," $2 ",") ~ /,memory,/ { print $3 }' /proc/self/cgroup)")
fi
group=$parent/memory_limit.$$
why=$(mkdir "$group" 2>&1) || cannot "${why#mkdir: }"

# ---- and removed -------------------------------------------------------------------------------
child=
kill_all() {
  local id
  while read -r id; do kill -KILL "$id" 2>/dev/null || true; done <"$group/cgroup.procs"
}

# The dead leave a group some time after they were killed.
remove() {
  local code=$? tries
  trap '' INT TERM HUP
  for ((tries = 0; tries < 500; ++tries)); do
    kill_all 2>/dev/null || true
    if rmdir "$group" 2>/dev/null; then exit $code; fi
    sleep 0.01
  done
  echo "memory_limit: $group could not be removed" >&2
  exit $code
}
trap remove EXIT

again= signals=0
pass_on() {
  again=yes signals=$((signals + 1))
  if [ -z "$child" ]; then exit $((128 + $2)); fi
  if [ $signals -gt 1 ]; then kill_all; else kill -"$1" "$child" 2>/dev/null || true; fi
}
trap 'pass_on INT 2' INT
trap 'pass_on TERM 15' TERM
trap 'pass_on HUP 1' HUP

# ---- limited -----------------------------------------------------------------------------------
put() { { echo "$2" >"$group/$1"; } 2>/dev/null; }
if [ -n "$limit" ]; then
  case $version in
    1)
      put memory.limit_in_bytes "$limit" || cannot "$group/memory.limit_in_bytes is not writable"
      # Memory and swap together. Without swap accounting a machine with swap is not limited.
      put memory.memsw.limit_in_bytes "$limit" || [ "$(wc -l </proc/swaps)" -le 1 ] ||
        cannot "swap is on and not accounted for"
      put memory.swappiness 0 || true
      ;;
    2)
      put memory.max "$limit" || cannot "$group/memory.max is not writable"
      put memory.swap.max 0 || [ "$(wc -l </proc/swaps)" -le 1 ] ||
        cannot "swap is on and not accounted for"
      ;;
  esac
fi

# In a process group of its own, so that what a terminal sends arrives once.
set -m
(
  trap - EXIT INT TERM HUP
  if ! { echo "$BASHPID" >"$group/cgroup.procs"; } 2>/dev/null; then
    cannot "$group takes no processes"
  fi
  exec "$@"
) <&0 &
child=$!
set +m
code=0
while :; do
  again= code=0
  { wait "$child"; } 2>/dev/null || code=$?
  [ -n "$again" ] || break
done

value() { cat "$group/$1" 2>/dev/null || echo "$2"; }
case $version in
  1)
    peak=$(value memory.max_usage_in_bytes unknown)
    killed=$(value memory.oom_control "" | awk '$1 == "oom_kill" { print $2 }')
    ;;
  2)
    peak=$(value memory.peak unknown)
    killed=$(value memory.events "" | awk '$1 == "oom_kill" { print $2 }')
    ;;
esac
echo "memory_limit: peak $peak bytes of ${limit:-any number}; ${killed:-unknown} killed for memory" >&2
exit $code
