#!/usr/bin/env bash
# A build that stops when a layer did not learn: its gradient is empty.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

node "$here/../quick-demo/make-mlp.mjs" model.pt
mkdir mnt
show mlfs mount model.pt mnt

say 'One training step that forgot layer 1: every other parameter gets a gradient.'
for weight in mnt/model/embed/weight mnt/model/layers/0/linear/{weight,bias}; do
  head -c "$(stat -c %s "$weight.bin")" /dev/urandom >"$weight.grad"
done

say 'In shell: find knows what is empty.'
show "find mnt/model -name '*.grad' -empty"
[ -n "$(find mnt/model -name '*.grad' -empty)" ] || fail 'find saw no empty gradient'

say 'As a step of a build: the exit code says it.'
status=0
show mlfs check mnt --grads || status=$?
echo "exit code $status"
((status == 1)) || fail 'the build would have gone on'

say 'The layer learns, and the build goes on.'
for weight in mnt/model/layers/1/linear/{weight,bias}; do
  head -c "$(stat -c %s "$weight.bin")" /dev/urandom >"$weight.grad"
done
show mlfs check mnt --grads --finite

say 'A weight that became NaN stops it again.'
echo nan >mnt/model/layers/0/linear/bias.bin
status=0
show mlfs check mnt --finite || status=$?
((status == 1)) || fail 'NaN was not found'
show mlfs umount mnt
