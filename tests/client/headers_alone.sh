#!/bin/sh
# Fails if an object that uses <zero/zero.hpp> asks for a C++ symbol of the library: the C++
# interface works with a shared library of any compiler because it asks for C symbols alone.
# headers_alone.sh NM OBJECT...
set -eu
nm=$1
shift
for object; do
  names=$("$nm" -u -C "$object")
  echo "$names" | grep -q ' zero_' || { echo "$object uses nothing of the library"; exit 1; }
  wrong=$(echo "$names" | grep 'zero::' | grep -v 'zero::test::' || true)
  [ -z "$wrong" ] || { echo "$object needs $wrong"; exit 1; }
done
