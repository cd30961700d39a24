#!/usr/bin/env bash
# Prepares a clone: installs the programs that building and mounting need and the Debian packages named as arguments, then the packages
# of package-lock.json, and builds. Installs nothing when everything is there. What cannot be installed is named and the rest goes on,
# because most of MLFS works without it.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }

# The first part of apt's answer is enough to see why it failed.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || { status=$? && tail -n 20 "$log" >&2; }
  rm -f "$log"
  return "$status"
}

wanted=()
for program in g++ make python3; do # node-gyp builds the native data plane with them
  command -v "$program" >/dev/null || wanted+=("$program")
done
command -v fusermount3 >/dev/null || wanted+=(fuse3) # mounts for everybody but root

if ! command -v dpkg-query >/dev/null; then
  # The package manager is not apt, so what the tests drive cannot be looked up by its Debian name.
  [[ ${#wanted[@]} -eq 0 ]] || say "this is not Debian: please install what it calls ${wanted[*]}"
  wanted=()
else
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || wanted+=("$package")
  done
fi

as_root=()
how=
may_install=yes
if [[ $(id -u) -ne 0 ]]; then
  as_root=(sudo)
  how=' as root: sudo may ask for your password'
  command -v sudo >/dev/null || may_install=no
fi

if ((${#wanted[@]} > 0)); then
  install=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1) # Run level 1: no service is started by its installation.
  install+=(apt-get install -qq -y --no-install-recommends "${wanted[@]}")
  if [[ $may_install == no ]]; then
    say "cannot install ${wanted[*]}: that needs root or sudo. Going on without."
  else
    say "installing ${wanted[*]}, which may take minutes$how"
    if ! quietly "${as_root[@]}" apt-get update -qq || ! quietly "${as_root[@]}" "${install[@]}"; then
      say "apt-get could not install ${wanted[*]}. Going on without."
    fi
  fi
fi

# fusermount3 looks up there what it unmounts. A Debian that was never booted does not have it.
if [[ ! -e /etc/mtab && $may_install == yes ]]; then
  say "making /etc/mtab, which fusermount3 reads$how"
  "${as_root[@]}" ln -s ../proc/self/mounts /etc/mtab || say 'could not make /etc/mtab. Going on without.'
fi

if ! node setup/packages-are-current.mjs; then
  say 'installing the packages of package-lock.json'
  npm ci --no-audit --no-fund --loglevel=error >/dev/null
fi

npm run --silent build
