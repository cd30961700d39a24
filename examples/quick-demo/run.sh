#!/usr/bin/env bash
# A checkpoint from nothing, mounted, looked at and edited with ordinary programs, committed and unmounted.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

show node "$here/make-mlp.mjs" mlp.pt
show mlfs ls mlp.pt
show node "$here/read-tensor.mjs" mlp.pt

mkdir mnt
show mlfs mount mlp.pt mnt
show ls mnt
show find mnt/model -type f
show cat mnt/sys/model_str
show sha256sum mnt/model/layers/0/linear/weight.bin
show od -A d -t f4 -N 32 mnt/model/layers/0/linear/bias.bin
if python3 -c 'import numpy' 2>/dev/null; then
  show python3 -c 'import numpy as np; print(np.load("mnt/views/npy/embed/weight.npy", mmap_mode="r")[:2, :4])'
fi

say 'An edit: the first float becomes 1.0.'
show "printf '\0\0\200\77' | dd of=mnt/model/layers/1/linear/bias.bin conv=notrunc status=none"
show head -n 2 mnt/views/txt/layers/1/linear/bias.txt
show mlfs status mnt
show cat mnt/logs/fuse.log
show mlfs commit mnt
show mlfs umount mnt
show mlfs verify mlp.pt
