#!/usr/bin/env bash
# Hashes of tensors, so that a change is named by the tensor and not by the file.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

node "$here/../quick-demo/make-mlp.mjs" model.pt
show mlfs seal model.pt -o model.seal
show cut -c 1-16,65- model.seal

say 'The file as it was, and the mount with plain sha256sum.'
show mlfs verify model.pt --seal model.seal
mkdir mnt
mlfs mount model.pt mnt >/dev/null
(cd mnt && show sha256sum -c --quiet "$work/model.seal") || fail 'sha256sum found a difference'

say 'Somebody writes into a tensor of the mount.'
printf '\xff' | dd of=mnt/model/layers/1/linear/bias.bin bs=1 seek=7 conv=notrunc status=none
status=0
show mlfs verify mnt --seal model.seal || status=$?
((status == 3)) || fail 'nobody noticed'
status=0
(cd mnt && show sha256sum -c --quiet "$work/model.seal") || status=$?
((status == 1)) || fail 'sha256sum did not notice'

say 'The edit is in the journal and not in the file. It is dropped.'
show mlfs discard mnt
show mlfs verify mnt --seal model.seal
unmount mnt

say 'Somebody flips one bit of the file itself, behind MLFS: the tensor has a name.'
offset=$(mlfs ls --json model.pt embed.weight | grep -o '"file_offset": [0-9]*' | cut -d ' ' -f 2)
printf '\x01' | dd of=model.pt bs=1 seek=$((offset + 1000)) conv=notrunc status=none
status=0
show mlfs verify model.pt --seal model.seal || status=$?
((status == 3)) || fail 'nobody noticed'
