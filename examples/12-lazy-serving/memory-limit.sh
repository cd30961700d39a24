# shellcheck shell=bash
# A group of processes with a memory limit, by cgroup v1 or v2 (root).
#
#   limit_memory MIB       makes the group
#   limited CMD ARG...     runs a command in it
#   peak_mib               the most it ever used

limit_memory() {
  limit_mib=$1
  if [ -w /sys/fs/cgroup/memory/cgroup.procs ]; then
    cgroup=/sys/fs/cgroup/memory/mlfs-example-$$
    mkdir "$cgroup"
    echo "${limit_mib}M" >"$cgroup/memory.limit_in_bytes"
    # With swap that counts, so that what does not fit is not swapped out instead.
    if [ -e "$cgroup/memory.memsw.limit_in_bytes" ]; then echo "${limit_mib}M" >"$cgroup/memory.memsw.limit_in_bytes"; fi
    peak_file=$cgroup/memory.max_usage_in_bytes
  elif [ -w /sys/fs/cgroup/cgroup.subtree_control ] && grep -q memory /sys/fs/cgroup/cgroup.controllers; then
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control
    cgroup=/sys/fs/cgroup/mlfs-example-$$
    mkdir "$cgroup"
    echo "${limit_mib}M" >"$cgroup/memory.max"
    if [ -e "$cgroup/memory.swap.max" ]; then echo 0 >"$cgroup/memory.swap.max"; fi
    peak_file=$cgroup/memory.peak
  else
    fail 'no memory cgroup can be made here: this example needs root and a memory controller'
  fi
  printf '#!/bin/sh\necho $$ >%s/cgroup.procs && exec "$@"\n' "$cgroup" >"$tools/limited"
  chmod +x "$tools/limited"
  at_exit remove_cgroup
}

peak_mib() { echo $((($(cat "$peak_file") + 1048575) / 1048576)); }

remove_cgroup() {
  local tick
  for ((tick = 0; tick < 50; tick++)); do
    rmdir "$cgroup" 2>/dev/null && break
    sleep 0.1
  done
}
