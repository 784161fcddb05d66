#!/usr/bin/env bash
# Two hosts on one machine: two network namespaces joined by a veth pair, each with a host name of
# its own, 2 ranks in each under Open MPI's mpirun. Everything made is removed at the end, also
# after a failure. Needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN); else exits 77.
#   scripts/two_hosts.sh [--zero FILE] run   [TRAIN OPTIONS]  digests of two hosts and of one, every
#                                                             stage or the one in the options
#   scripts/two_hosts.sh [--zero FILE] bytes [TRAIN OPTIONS]  what the interfaces counted next to
#                                                             what was predicted; within 10 %
#   scripts/two_hosts.sh [--zero FILE] cut   [TRAIN OPTIONS]  the link goes down in the middle: all
#                                                             ranks end within 30 s, naming the host
#   scripts/two_hosts.sh [--zero FILE] all                    the three, one after the other
#   scripts/two_hosts.sh do PROGRAM [ARGUMENTS]               any program on the 4 ranks
# The interfaces have the usual MTU of 1500. The kernel counts what it hands over, and on a veth
# pair that are segments of up to 64 KiB: headers are a smaller part than on a wire.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
zero=$here/../build/release/bin/zero
usage() { sed -n 's/^#   //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
if [ "${1:-}" = --zero ]; then
  [ $# -ge 2 ] || usage
  zero=$2
  shift 2
fi
what=${1:-}
[ $# -eq 0 ] || shift
skip() { echo "two_hosts: skipped: $*"; exit 77; }
fail() { echo "two_hosts: $*" >&2; exit 1; }
case $what in run | bytes | cut | all) ;; do) [ $# -gt 0 ] || usage ;; *) usage ;; esac
case "$what $* " in
  "do "*) ;;
  *" --steps "* | *" --steps="* | *" --json "* | *" --json="*)
    echo "two_hosts: --steps and --json are given by this script" >&2
    exit 2 ;;
esac

for tool in mpirun ip unshare python3; do
  command -v $tool >/dev/null || skip "there is no $tool here"
done
mpirun --version 2>/dev/null | grep -q 'Open MPI' || skip "mpirun is not Open MPI's"
[ "$what" = do ] || [ -x "$zero" ] || fail "no program at $zero: build it first, or say --zero"
[ "$what" = do ] || "$zero" info | grep -Eq '^ *mpi +Open MPI' || skip "$zero is without MPI"

# ---- the two hosts -----------------------------------------------------------------------------
space_a=zero-$$-a space_b=zero-$$-b
address_a=10.77.7.1 address_b=10.77.7.2
work=$(mktemp -d)
remove() {
  local code=$? space ids
  trap - EXIT
  for space in $space_a $space_b; do
    ids=$(ip netns pids $space 2>/dev/null || true)
    # shellcheck disable=SC2086
    [ -z "$ids" ] || kill -KILL $ids 2>/dev/null || true
    ip netns del $space 2>/dev/null || true  # and its end of the pair with it
  done
  wait 2>/dev/null || true
  rm -rf "$work" "${TMPDIR:-/tmp}/ompi.$space_a.$(id -u)" \
    "${TMPDIR:-/tmp}/ompi.$space_b.$(id -u)"
  exit $code
}
trap remove EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

make_hosts() {
  ip netns add $space_a 2>"$work/why" || skip "cannot make a network namespace: $(cat "$work/why")"
  ip netns add $space_b
  ip link add name zero0 netns $space_a type veth peer name zero0 netns $space_b ||
    skip "cannot make a veth pair"
  ip -n $space_a address add $address_a/24 dev zero0
  ip -n $space_b address add $address_b/24 dev zero0
  local space
  for space in $space_a $space_b; do
    ip -n $space link set lo up
    ip -n $space link set zero0 up
  done
  ip netns exec $space_a unshare --uts true 2>"$work/why" ||
    skip "cannot give a host a name: $(cat "$work/why")"
  # Instead of ssh: what mpirun starts its daemon on the other host with.
  cat >"$work/agent" <<AGENT
#!/bin/sh
shift
exec ip netns exec $space_b unshare --uts sh -c 'hostname $space_b; exec sh -c "\$*"' sh "\$@"
AGENT
  chmod +x "$work/agent"
}

# The program on 2 ranks of each host, its threads one, so that bits do not depend on the cores.
on_two_hosts() {
  ip netns exec $space_a unshare --uts sh -c 'hostname "$0"; exec "$@"' $space_a \
    env OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 \
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    timeout --kill-after 5 "$limit" mpirun --host $address_a:2,$address_b:2 -n 4 --oversubscribe --bind-to none \
    --mca plm rsh --mca plm_rsh_agent "$work/agent" --mca plm_rsh_no_tree_spawn 1 \
    --mca pml ob1 --mca btl tcp,vader,self --mca mpi_yield_when_idle 1 \
    --mca btl_vader_backing_directory "$work" \
    --mca btl_tcp_if_include 10.77.7.0/24 --mca oob_tcp_if_include 10.77.7.0/24 \
    -x OPENBLAS_NUM_THREADS -x OMP_NUM_THREADS "${more[@]}" "$@"
}
more=()
limit=300  # seconds that one start of mpirun may take

# Bytes that went over the pair, both ways, as the kernel counts them.
counted() {
  local space sum=0
  for space in $space_a $space_b; do
    sum=$((sum + $(ip netns exec $space cat /sys/class/net/zero0/statistics/tx_bytes)))
  done
  echo $sum
}

# Of a run's report, its last line: digest FILE; and the bytes that all ranks together sent to the
# other host: crossed FILE of all steps as the ranks counted them, predicted FILE of one step.
of_run() { tail -n 1 "$1" | python3 -c "import json, sys; run = json.load(sys.stdin); print($2)"; }
digest() { of_run "$1" 'run["parameters_digest"]'; }
crossed() {
  of_run "$1" 'sum(r["crossed"] for r in run["communication"]) * len(run["losses"])'
}
predicted() {
  of_run "$1" 'sum(r["predicted"]["crossed"] for r in run["communication"])'
}

all_stages=(0 1 2 3 "hybrid --shard-group 2" "hpz --shard-group 2"
            "3 --quantize-gather 8 --quantize-reduce 4 --shard-group 2")
train=("$zero" train)
case " $* " in *" --model "* | *" --layers "*) ;; *) train+=(--model gpt-3m) ;; esac
case " $* " in *" --batch "*) ;; *) train+=(--batch 4) ;; esac
case " $* " in *" --dtype "*) ;; *) train+=(--dtype bf16) ;; esac

# ---- digests -----------------------------------------------------------------------------------
check_run() {
  local stages=("${all_stages[@]}") stage one two
  case " $* " in *" --stage "*) stages=("") ;; esac
  for stage in "${stages[@]}"; do
    local options=(--steps 3 "$@")
    # shellcheck disable=SC2206
    [ -z "$stage" ] || options=(--stage $stage "${options[@]}")
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 \
      "${train[@]}" "${options[@]}" --ranks 4 --json "$work/one" >"$work/log" 2>&1 ||
      { cat "$work/log"; fail "one host failed"; }
    on_two_hosts "${train[@]}" "${options[@]}" --json "$work/two" >"$work/log" 2>&1 ||
      { cat "$work/log"; fail "two hosts failed"; }
    one=$(digest "$work/one") two=$(digest "$work/two")
    echo "run: ${options[*]}: one host $one, two hosts $two," \
      "$(predicted "$work/two") bytes a step cross"
    [ -n "$one" ] && [ "$one" = "$two" ] || fail "the digests differ"
  done
}

# ---- bytes -------------------------------------------------------------------------------------
# Of a long run those of a short one are taken off: what is left is steps alone.
check_bytes() {
  local few=2 many=8 before short long ranks predicted
  local stages=("${all_stages[@]}") stage
  case " $* " in *" --stage "*) stages=("") ;; esac
  for stage in "${stages[@]}"; do
    local options=("$@")
    # shellcheck disable=SC2206
    [ -z "$stage" ] || options=(--stage $stage "$@")
    before=$(counted)
    on_two_hosts "${train[@]}" "${options[@]}" --steps $few --json "$work/few" >"$work/log" 2>&1 ||
      { cat "$work/log"; fail "the short run failed"; }
    short=$(($(counted) - before))
    before=$(counted)
    on_two_hosts "${train[@]}" "${options[@]}" --steps $many --json "$work/many" >"$work/log" 2>&1 ||
      { cat "$work/log"; fail "the long run failed"; }
    long=$(($(counted) - before))
    ranks=$(($(crossed "$work/many") - $(crossed "$work/few")))
    predicted=$(($(predicted "$work/many") * (many - few)))
    awk -v c=$((long - short)) -v p=$predicted -v k=$ranks -v n=$((many - few)) \
      -v o="${options[*]}" 'BEGIN {
      r = p > 0 ? c / p : 0
      printf "bytes: %s: %d steps: interfaces %d, ranks %d, predicted %d, ratio %.4f\n",
        o, n, c, k, p, r
      exit !(r > 0.9 && r < 1.1) }' || fail "not within 10 %"
  done
}

# ---- a cut link --------------------------------------------------------------------------------
living() {
  local space id
  for space in $space_a $space_b; do
    for id in $(ip netns pids $space); do
      [ "$(readlink "/proc/$id/exe" 2>/dev/null)" != "$(readlink -f "$zero")" ] || echo "$id"
    done
  done
}

check_cut() {
  local begun=$SECONDS cut_at rank took line
  # Each rank writes down how it ended: what the far host says does not come through a cut link.
  cat >"$work/rank" <<'RANK'
#!/bin/sh
folder=$1
shift
code=0
"$@" 2>"$folder/errors.$OMPI_COMM_WORLD_RANK" || code=$?
echo $code >"$folder/code.$OMPI_COMM_WORLD_RANK"
RANK
  chmod +x "$work/rank"
  more=(--mca orte_abort_on_non_zero_status 0 --mca orte_allowed_exit_without_sync 1)
  on_two_hosts "$work/rank" "$work" "${train[@]}" --stage 3 "$@" --steps 100000 \
    --json "$work/cut" >"$work/log" 2>&1 &
  local run=$!
  more=()
  until [ -s "$work/cut" ] && [ "$(wc -l <"$work/cut")" -ge 3 ]; do
    kill -0 $run 2>/dev/null && [ $((SECONDS - begun)) -lt 60 ] || { cat "$work/log"; fail "the run does not begin"; }
    sleep 0.1
  done
  [ "$(living | wc -l)" -eq 4 ] || fail "there are not 4 ranks"
  cut_at=$(date +%s%N)
  ip -n $space_a link set zero0 down
  while [ -n "$(living)" ]; do
    took=$((($(date +%s%N) - cut_at) / 1000000))
    [ $took -lt 30000 ] || fail "ranks still live $took ms after the link was cut"
    sleep 0.1
  done
  took=$((($(date +%s%N) - cut_at) / 1000000))
  echo "cut: all 4 ranks ended $took ms after the link went down"
  sleep 0.2
  for rank in 0 1 2 3; do
    line=$(grep -o 'ranks* .*lost: host.*' "$work/errors.$rank" || true)
    echo "cut: rank $rank, exit code $(cat "$work/code.$rank" 2>/dev/null || echo none): $line"
    case $rank$line in
      [01]*"host '$space_b'"* | [23]*"host '$space_a'"*) ;;
      *) cat "$work/errors.$rank"; fail "rank $rank does not name the lost host" ;;
    esac
    [ "$(cat "$work/code.$rank")" = 3 ] || fail "rank $rank did not end with exit code 3"
  done
  ip -n $space_a link set zero0 up
}

make_hosts
case $what in
  run) check_run "$@" ;;
  bytes) check_bytes "$@" ;;
  cut) check_cut "$@" ;;
  all)
    check_run "$@"
    check_bytes "$@"
    check_cut "$@"
    ;;
  do) on_two_hosts "$@" ;;
esac
echo "two_hosts: $what done"
