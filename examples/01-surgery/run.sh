#!/usr/bin/env bash
# A model that cannot learn is mended with vim while it is being trained.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
WAIT_SECONDS=120
need vim
use_python torch

show python "$here/train.py" make model.pt
mkdir mnt
show mlfs mount model.pt mnt

say 'A trainer runs; nothing it does brings the loss down.'
background train.log python "$here/train.py" train model.pt mnt
trainer=$started
log_has() { grep -q "$1" train.log; }
learning() { log_has "$1" || ended "$trainer"; }
wait_for 'the first steps of the trainer' learning 'step 300:'
log_has 'step 300:' || fail "the trainer ended: $(cat train.log)"
show cat train.log

say 'Why: the hidden layer is dead. Its biases as text, its gradient as bytes:'
show 'head -n 3 mnt/views/txt/hidden/bias.txt'
show 'od -A d -t f4 -N 16 mnt/model/hidden/bias.grad'

say 'So: every bias becomes 0.5, by vim, while the trainer runs.'
show "vim -Nu NONE -es -c '%s/.*/0.5/' -c wq mnt/views/txt/hidden/bias.txt"
wait_for 'an end of the training' ended "$trainer"
show "sed -n '/reloaded/,$ p' train.log"
log_has learned || fail 'the model did not learn'

say 'The checkpoint is still the old one. Now it has the mended bias.'
show mlfs status mnt
show mlfs commit mnt
show mlfs umount mnt
show 'mlfs cat model.pt hidden.bias | od -A d -t f4 -N 16'
