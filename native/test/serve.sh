#!/usr/bin/env bash
# Drives one_file_server: parallel readers while layouts are republished, then a truncation of
# the backing file under the mount. Fails if a byte differs, a reader hangs or the server dies.
set -euo pipefail
server=$1
dir=$(mktemp -d)
pid=
cleanup() {
  if mountpoint -q "$dir/mount"; then umount -l "$dir/mount"; fi
  if [[ -n "$pid" ]]; then
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap cleanup EXIT
mkdir "$dir/mount"
head -c 70000001 /dev/urandom >"$dir/backing"
offset=12345
tail -c +$((offset + 1)) "$dir/backing" >"$dir/expected"

serve() {
  : >"$dir/out" # what the server before said
  "$server" "$dir/backing" "$dir/mount" --offset $offset "$@" >"$dir/out" 2>"$dir/err" &
  pid=$!
  for _ in $(seq 200); do
    if grep -q ready "$dir/out"; then return; fi
    kill -0 "$pid" 2>/dev/null || { cat "$dir/err"; exit 1; }
    sleep 0.05
  done
  echo "the server did not come up"
  exit 1
}

finish() {
  umount "$dir/mount"
  if ! wait "$pid"; then
    cat "$dir/err"
    exit 1
  fi
  pid=
}

serve --threads 3 --pieces 1234 --republish
readers=()
for _ in 1 2 3; do
  timeout 60 cmp "$dir/mount/tensor.bin" "$dir/expected" &
  readers+=($!)
done
for reader in "${readers[@]}"; do wait "$reader"; done
finish

# A lone reader of small blocks: served from its own processor, then by the session threads again.
serve --threads 2
timeout 60 dd if="$dir/mount/tensor.bin" of="$dir/read" bs=4096 count=3000 iflag=direct 2>/dev/null
head -c $((4096 * 3000)) "$dir/expected" | cmp - "$dir/read"
timeout 60 cmp "$dir/mount/tensor.bin" "$dir/expected"
finish

# An overlay that comes and goes: each READ shows all of it or nothing, and no descriptor is left behind.
head -c 70000001 /dev/urandom >"$dir/other"
tail -c +$((offset + 1)) "$dir/other" >"$dir/expected-other"
serve --threads 3 --switch "$dir/other"
old=0 new=0
for block in $(seq 60); do
  if ! timeout 20 dd if="$dir/mount/tensor.bin" of="$dir/read" bs=1M skip="$block" count=1 iflag=direct 2>"$dir/why"; then
    grep -q 'temporarily unavailable' "$dir/why" && continue
    cat "$dir/why"
    exit 1
  fi
  at=$((block << 20))
  if cmp -s -n 1048576 -i 0:$at "$dir/read" "$dir/expected"; then
    old=$((old + 1))
  elif cmp -s -n 1048576 -i 0:$at "$dir/read" "$dir/expected-other"; then
    new=$((new + 1))
  else
    echo "block $block is neither the old nor the new"
    exit 1
  fi
done
if ((old == 0 || new == 0)); then
  echo "$old old and $new new blocks: nothing was switched while it was read"
  exit 1
fi
descriptors=$(ls "/proc/$pid/fd" | wc -l)
if ((descriptors > 40)); then
  echo "$descriptors descriptors are open"
  exit 1
fi
finish

serve --threads 2
timeout 20 head -c 1000 "$dir/mount/tensor.bin" | cmp - <(head -c 1000 "$dir/expected")
truncate -s 1000000 "$dir/backing"
if timeout 20 dd if="$dir/mount/tensor.bin" of=/dev/null bs=1M skip=20 count=1 2>/dev/null; then
  echo "a read of bytes that are gone succeeded"
  exit 1
fi
timeout 20 dd if="$dir/mount/tensor.bin" of=/dev/null bs=4096 skip=10 count=1 2>/dev/null
finish
