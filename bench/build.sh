#!/bin/sh
# Builds the measuring programs into bench/build (not committed). Reader and writer need a C compiler, the C loops also
# libfuse3-dev; what cannot be built is said on stderr, and the bench shows its rows as "not installed".
cd "$(dirname "$0")" || exit 1
mkdir -p build
flags="-std=c11 -O2 -g -Wall -Wextra -Werror -pthread"
: "${CC:=cc}"

build() { # target source extra-flags...
  target=build/$1 source=$2
  shift 2
  [ "$target" -nt "$source" ] && return
  "$CC" $flags -o "$target.tmp" "$source" "$@" && mv "$target.tmp" "$target"
}

if ! command -v "$CC" >/dev/null; then
  echo "bench: no C compiler ($CC); install gcc to measure" >&2
  exit 1
fi
build reader reader/reader.c || exit 1
build writer writer/writer.c || exit 1
if pkg-config --exists fuse3 2>/dev/null; then
  # shellcheck disable=SC2046
  build ceiling c-loop/ceiling.c $(pkg-config --cflags --libs fuse3) || exit 1
  # shellcheck disable=SC2046
  build tree c-loop/tree.c $(pkg-config --cflags --libs fuse3) || exit 1
  # shellcheck disable=SC2046
  build store c-loop/store.c $(pkg-config --cflags --libs fuse3) || exit 1
else
  echo "bench: libfuse3-dev or pkg-config is not installed; the C loops are left out" >&2
fi
