# shellcheck shell=bash
# What the examples share. A run.sh begins with
#
#   #!/usr/bin/env bash
#   set -euo pipefail
#   source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
#
# and is then in a fresh folder, $work, which is removed at the end together with every mount and every background
# program, whatever happens. `mlfs` is a command on the PATH: $MLFS if that is set, else this clone's dist.
#
#   $here, $root                 the example's folder, and the clone's
#   show mlfs ls model.pt        prints the command as one would type it, and runs it
#   show 'sort a | uniq'         a single argument is a line of shell
#   say 'Now the edit.'          a remark
#   background LOG CMD ARG...    starts a program, its output in the file LOG, its pid in $started; it ends with the example
#   wait_for WHAT CMD ARG...     until CMD succeeds; after $WAIT_SECONDS (30) the example fails and says WHAT did not come
#   ended PID                    whether a background program has ended
#   stop PID                     SIGTERM, SIGKILL after 5 s, and waits
#   unmount DIR                  unmounts, lazily when DIR is busy
#   use_python torch numpy       finds a Python that imports these ($PYTHON, python3, /usr/bin/python3): `python` from here on
#   need inotifywait inotify-tools   fails and names the Debian package when a program is missing
#   at_exit FUNCTION             is called at the end, after everything was unmounted
#   fail 'the bias is still 0'   says so and ends the example with 1

here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/mlfs-example-XXXXXX")
tools=$(mktemp -d "${TMPDIR:-/tmp}/mlfs-tools-XXXXXX")
background_pids=()
exit_functions=()

say() { printf '\n# %s\n' "$*"; }

show() {
  local word line=''
  for word in "$@"; do line+=" $(as_typed $# "${word//"$root/"/}")"; done
  printf '\n$%s\n' "$line"
  if (($# == 1)); then eval "$1"; else "$@"; fi
}

as_typed() {
  if (($1 == 1)) || [[ $2 =~ ^[A-Za-z0-9_./:=,@%+*-]+$ ]]; then
    echo "$2"
  elif [[ $2 == *\'* && $2 != *[\"\$\`\\]* ]]; then
    echo "\"$2\""
  else
    echo "'${2//\'/\'\\\'\'}'"
  fi
}

fail() {
  printf 'this did not work: %s\n' "$*" >&2
  exit 1
}

need() {
  command -v "$1" >/dev/null || fail "this example needs $1 (Debian: apt install ${2:-$1})"
}

use_python() {
  local candidate imports
  imports=$(printf 'import %s\n' "$@" sys)
  for candidate in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3; do
    if "$candidate" -c "$imports" 2>/dev/null; then
      printf '#!/bin/sh\nexec %q "$@"\n' "$(command -v "$candidate")" >"$tools/python"
      chmod +x "$tools/python"
      hash -r
      return
    fi
  done
  fail "this example needs a Python with $* (Debian: apt install ${*/#/python3-}; or set PYTHON)"
}

at_exit() { exit_functions+=("$1"); }

background() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 </dev/null &
  started=$!
  background_pids+=("$started")
}

stop() {
  local tick
  # Asked again, because a program that was just started may not have heard it.
  for ((tick = 0; tick < 50; tick++)); do
    kill "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

ended() { ! kill -0 "$1" 2>/dev/null; }

wait_for() {
  local what=$1 end=$((SECONDS + ${WAIT_SECONDS:-30}))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "$what did not come"
    sleep 0.1
  done
}

unmount() { mlfs umount "$1" 2>/dev/null || mlfs umount --lazy "$1"; }

clean_up() {
  local status=$? pid mountpoint tick function
  trap '' INT TERM
  set +e
  cd /
  for pid in "${background_pids[@]}"; do kill "$pid" 2>/dev/null; done
  for pid in "${background_pids[@]}"; do stop "$pid"; done
  grep -o " $work[^ ]*" /proc/mounts | tac | while read -r mountpoint; do unmount "$(printf %b "$mountpoint")"; done
  # A server that ends still writes to its state directory for a moment.
  for ((tick = 0; tick < 50; tick++)); do
    rm -rf --one-file-system "$work" 2>/dev/null && break
    sleep 0.1
  done
  for function in "${exit_functions[@]}"; do "$function"; done
  rm -rf "$tools"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

[ -e "$root/dist/cli/main.js" ] || [ -n "${MLFS:-}" ] || (cd "$root" && npm run --silent build)
printf '#!/bin/sh\nexec %s "$@"\n' "${MLFS:-node $(printf %q "$root/dist/cli/main.js")}" >"$tools/mlfs"
chmod +x "$tools/mlfs"
PATH=$tools:$PATH
work=$(cd "$work" && pwd -P)
cd "$work"
