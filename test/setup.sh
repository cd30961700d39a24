#!/usr/bin/env bash
# Installs what the tests drive, on Debian: the programs, Debian's own torch (a gigabyte: the tests ask it whether
# MLFS's bytes are torch's), then the project's packages. Installs nothing when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  fuse3 libfuse3-dev pkg-config  # fusermount3 for everybody but root; the benchmark's C loops
  python3-numpy python3-torch
  attr rsync unzip zip fio strace bsdextrautils  # bsdextrautils has hexdump
  erofs-utils           # fsck.erofs and dump.erofs check the image of the kernel view
  vim nano ed perl util-linux  # editors that write through a mount; flock
  git openssh-server sshfs inotify-tools prometheus curl  # what the examples are tried with
  graphviz              # reads the graphs of /ir
)
bash setup/setup.sh "${packages[@]}"

# The optional package mmap-io asks for an older C++ than Node's headers do. They are those of the running Node, where it has them.
mmap_io=node_modules/mmap-io
if [[ -d $mmap_io && ! -e $mmap_io/build/Release/mmap-io.node ]] && command -v g++ >/dev/null; then
  prefix=$(node -p 'path.resolve(process.execPath, "../..")')
  [[ ! -e $prefix/include/node/node_api.h ]] || export npm_config_nodedir=$prefix
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! CXXFLAGS=-std=c++17 npm --prefix "$mmap_io" run install >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo 'setup: the optional package mmap-io could not be built. Going on without: its tests are skipped.'
  fi
fi
