#!/usr/bin/env bash
# Installs what the tests drive, on Debian: the programs, Debian's own torch (a gigabyte: the tests ask it whether
# MLFS's bytes are torch's), then the project's packages. Quick when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  g++ make python3      # node-gyp builds the native data plane
  fuse3 libfuse3-dev    # fusermount3 for everybody but root; the benchmark's C loop
  python3-numpy python3-torch
  attr rsync unzip zip fio strace
  vim nano ed perl util-linux  # editors that write through a mount; flock
  git openssh-server sshfs inotify-tools prometheus  # what the examples are tried with
  graphviz              # reads the graphs of /ir
)

missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done

if ((${#missing[@]} > 0)); then
  echo "setup: installing ${missing[*]}"
  as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || { echo "setup: needs root or sudo to install ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  # Run level 1: no service is started by its installation.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

# The optional package mmap-io asks for an older C++ than Node's headers do.
CXXFLAGS=-std=c++17 npm ci --no-audit --no-fund
