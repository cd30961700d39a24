#!/bin/sh
# A checkpoint from nothing, mounted, looked at with ordinary programs, and unmounted.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ -e "$root/dist/cli/main.js" ] || (cd "$root" && npm run --silent build)
mlfs() { node "$root/dist/cli/main.js" "$@"; }
show() { printf '\n$ %s\n' "$*"; "$@"; }

folder=$(mktemp -d)
mkdir "$folder/mount"
cleanup() {
  cd /
  if grep -q " $folder/mount " /proc/mounts; then mlfs umount --lazy "$folder/mount"; fi
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

node "$here/make-mlp.mjs" "$folder/mlp.pt"
show mlfs ls "$folder/mlp.pt"
show node "$here/read-tensor.mjs" "$folder/mlp.pt"

show mlfs mount "$folder/mlp.pt" "$folder/mount"
cd "$folder/mount"
show find . -type f
show cat sys/model_str
show sha256sum model/layers/0/linear/weight.bin
show od -A d -t f4 -N 32 model/layers/0/linear/bias.bin
if python3 -c 'import numpy' 2>/dev/null; then
  show python3 -c 'import numpy as np; print(np.memmap("model/embed/weight.bin", "float32", "r", shape=(256, 32))[:2, :4])'
fi

printf '\n$ printf "\\0\\0\\200\\77" | dd of=model/layers/1/linear/bias.bin conv=notrunc  # 1.0\n'
printf '\0\0\200\77' | dd of=model/layers/1/linear/bias.bin conv=notrunc status=none
show od -A d -t f4 -N 8 model/layers/1/linear/bias.bin
show mlfs status .
show cat logs/fuse.log
cd /
show mlfs commit "$folder/mount"
show mlfs umount "$folder/mount"
show mlfs verify "$folder/mlp.pt"
