#!/usr/bin/env bash
# Installs what is missing of the given sections of packages.txt, and nothing when nothing is:
#   scripts/setup.sh build [test] [optional]
# With nothing missing it needs no network, no root and no sudo.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "setup: $*" >&2; exit 1; }

[ $# -gt 0 ] || fail "say which sections of scripts/packages.txt: build, test, optional"
for section in "$@"; do
  grep -qx "\[$section\]" "$here/packages.txt" || fail "packages.txt has no section '$section'"
done

# Lines "name [version]" of the sections.
wanted() {
  local section
  for section in "$@"; do
    sed -e 's/#.*//' -n -e "/^\[$section\]/,/^\[/{/^\[/d; s/ *>= */ /; /./p}" "$here/packages.txt"
  done
}

installed_version() {
  { dpkg-query -W -f='${db:Status-Status} ${Version}\n' "$1" 2>/dev/null || true; } |
    sed -n 's/^installed \([0-9]*:\)\{0,1\}//p' | head -n 1
}

# Sets `missing` to the packages that are not installed, `old` to lines about those too old.
look() {
  local name lowest version
  missing=() old=()
  while read -r name lowest; do
    version=$(installed_version "$name")
    if [ -z "$version" ]; then
      missing+=("$name")
    elif [ -n "$lowest" ] && ! dpkg --compare-versions "$version" ge "$lowest"; then
      old+=("$name $version, needs $lowest")
    fi
  done < <(wanted "$@")
}

# Elsewhere cmake finds the libraries, and says which it does not; here only the commands.
on_another_system() {
  local tool absent=()
  for tool in c++ cmake ninja python3; do
    command -v "$tool" >/dev/null || absent+=("$tool")
  done
  if [ ${#absent[@]} -gt 0 ]; then
    fail "not a Debian or Ubuntu machine, and not found: ${absent[*]};" \
      "install what corresponds to: $(wanted "$@" | cut -d ' ' -f 1 | xargs)"
  fi
  echo "setup: not a Debian or Ubuntu machine; nothing installed. What cmake does not find" \
    "corresponds to one of: $(wanted "$@" | cut -d ' ' -f 1 | xargs)"
}

install_missing() {
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
      fail "not root, no sudo; have these packages installed: ${missing[*]}"
    as_root=(sudo)
    [ -t 0 ] || as_root=(sudo -n)  # nobody is there to be asked
  fi
  echo "setup: will install with apt-get: ${missing[*]}"
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  local log
  log=$(mktemp)
  "${as_root[@]}" apt-get update -qq >"$log" 2>&1 </dev/null ||
    echo "setup: apt-get update failed; trying with the lists that are there" >&2
  "${as_root[@]}" apt-get install -y --no-install-recommends -o Dpkg::Use-Pty=0 \
    "${missing[@]}" >>"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    rm -f "$log"
    fail "apt-get could not install: ${missing[*]}"
  }
  rm -f "$log"
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  on_another_system "$@"
  exit 0
fi
look "$@"
if [ ${#missing[@]} -gt 0 ]; then
  install_missing
  look "$@"
  [ ${#missing[@]} -eq 0 ] || fail "still not installed: ${missing[*]}"
else
  echo "setup: nothing to install"
fi
if [ ${#old[@]} -gt 0 ]; then
  printf 'setup: too old: %s\n' "${old[@]}" >&2
  fail "Debian 12, Ubuntu 24.04 or later have what is needed"
fi
