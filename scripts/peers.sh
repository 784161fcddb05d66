#!/usr/bin/env bash
# What others reach beside what libzero reaches, on the same work in the same run:
#   scripts/peers.sh [--quick] [--out DIR] [--under COMMAND] [ROW...]
# Rows: update, collectives, training, deepspeed, disk, checkpoint; all unless some are named.
# --quick   small sizes, few pairs and fewer trainings, to see that it works: its numbers say little
# --out     default out/peers: peers.json (schema zero.peers/1) and peers.md
# --under   a command that whatever is heavy is run by, such as a lock of the machine; once for
#           building and once a row
# Sets up PyTorch and DeepSpeed as bench/peers/requirements.txt pins them, in build/peers and nowhere
# else; needs no network once they are there. fio is used where it is installed (scripts/setup.sh
# optional). What cannot be had is a row with the reason. Exit code 1 where
# ours failed, or the two did not do the same work; 2 for wrong usage.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
given="scripts/peers.sh$([ $# -eq 0 ] || printf ' %q' "$@")" out="${here%/scripts}/out/peers"
under=() options=() rows=()
fail() { echo "peers.sh: $*" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    --quick) options+=(--quick) ;;
    --out | --under)
      [ $# -ge 2 ] || fail "$1 needs a value"
      if [ "$1" = --out ]; then
        out=$(realpath -m "$2")
      else
        options+=(--under "$2")
        read -ra under <<<"$2"
      fi
      shift
      ;;
    update | collectives | training | deepspeed | disk | checkpoint) rows+=("$1") ;;
    *) fail "$1: there are --quick, --out, --under, and rows update, collectives, training, deepspeed, disk, checkpoint" ;;
  esac
  shift
done

"$here/setup.sh" build test
source "$here/build_settings.sh"
peers="$root/build/peers"
list="$root/bench/peers/requirements.txt"
mkdir -p "$peers/absent" "$peers/debian"

# why_absent NAME LOG: keeps the last line of a log as the reason, and says it.
why_absent() {
  grep -v '^[[:space:]]*$' "$2" | tail -n 1 | cut -c -200 >"$peers/absent/$1"
  echo "peers: no $1: $(cat "$peers/absent/$1")" >&2
}

# DeepSpeed's disk engine is compiled against libaio: its package, unpacked here.
unpack_libaio() {
  if [ -e "$peers/debian/usr/include/libaio.h" ] || ! command -v apt-get >/dev/null; then return; fi
  local folder
  folder=$(mktemp -d)
  chmod 755 "$folder"
  if (cd "$folder" && apt-get download libaio-dev libaio1 >"$folder/log" 2>&1); then
    local package
    for package in "$folder"/*.deb; do dpkg-deb -x "$package" "$peers/debian"; done
  else
    echo "peers: libaio-dev cannot be had; DeepSpeed's disk engine may not build" >&2
  fi
  rm -rf "$folder"
}

# Into build/peers/venv, unless what is there came of the same list.
install_packages() {
  local log="$peers/install.log" pip="$peers/venv/bin/pip" stamp="$peers/installed"
  if cmp -s "$list" "$stamp"; then return; fi
  rm -f "$stamp" "$peers/built" "$peers"/absent/*
  echo "peers: installing PyTorch and DeepSpeed into build/peers"
  python3 -m venv "$peers/venv" >"$log" 2>&1 || { why_absent torch "$log"; return; }
  grep -vE '^(#|deepspeed)' "$list" >"$peers/first.txt"
  "$pip" install --retries 1 -r "$peers/first.txt" >"$log" 2>&1 ||
    { why_absent torch "$log"; return; }
  unpack_libaio
  grep '^deepspeed' "$list" >"$peers/second.txt"
  DS_BUILD_OPS=0 DS_ACCELERATOR=cpu "$pip" install --retries 1 --no-build-isolation \
    -c "$peers/first.txt" -r "$peers/second.txt" >"$log" 2>&1 ||
    { why_absent deepspeed "$log"; return; }
  cp "$list" "$stamp"
}

build_extensions() {
  if [ -e "$peers/built" ] || [ -e "$peers/absent/torch" ] || [ -e "$peers/absent/deepspeed" ]; then
    return
  fi
  echo "peers: compiling DeepSpeed's parts"
  local libraries
  libraries="$peers/debian/usr/lib/$(uname -m)-linux-gnu"
  if "${under[@]}" env PATH="$peers/venv/bin:$PATH" TORCH_EXTENSIONS_DIR="$peers/extensions" \
    CPATH="$peers/debian/usr/include" LIBRARY_PATH="$libraries" LD_LIBRARY_PATH="$libraries" \
    MAX_JOBS="$jobs" python "$root/bench/peers/extensions.py" "$peers/absent" \
    >"$peers/extensions.log" 2>&1; then
    touch "$peers/built"
  else
    why_absent deepspeed "$peers/extensions.log"
  fi
}

install_packages
build_extensions
log="$peers/build.log"
drop_foreign_tree release
wanted=(-DZERO_BENCH=ON)
[ -f build/release/build.ninja ] || wanted+=(-DZERO_TESTS=OFF)
if ! { cmake --preset release "${wanted[@]}" &&
  "${under[@]}" cmake --build build/release --target zero_peers zero_command -j "$jobs"; } \
  >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
exec python3 -B bench/peers/peers.py "${options[@]}" --out "$out" --environment "$peers" \
  --programs "$root/build/release/bin" --command "$given" "${rows[@]}"
