#!/usr/bin/env bash
# Three checkpoints of a training run, as TensorBoard shows them: histograms of every tensor, made when they are read.
# With --stay TensorBoard goes on until Ctrl-C, for a browser.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
use_python json

say 'Three steps of a training run, each a checkpoint.'
node "$here/make-steps.mjs" "$work"
show ls -l --time-style=long-iso step-100.pt step-200.pt step-300.pt
mkdir run
for step in 100 200 300; do
  mkdir "mnt-$step"
  show mlfs mount --read-only "step-$step.pt" "mnt-$step"
done

say 'Each mount has an events file. Nothing of it is computed yet: its size is known beforehand.'
show ls -l --time-style=long-iso mnt-100/viz
say 'The three in one folder are one run with three steps.'
show 'ln -s "$PWD"/mnt-*/viz/events.out.tfevents.* run/'
show ls run

say 'What is in it, by a reader of a page of Python that checks every checksum.'
show python "$here/read_events.py" run | tee read.txt
(($(grep -c '^encoder.weight' read.txt) == 3)) || fail 'there are not three steps of encoder.weight'

if ! tensorboard=$(command -v "${TENSORBOARD:-tensorboard}"); then
  say 'TensorBoard is not installed (pip install tensorboard): with it this example goes on.'
  exit 0
fi
say "The same by TensorBoard itself: $("$tensorboard" --version 2>/dev/null | tail -1)"
background tensorboard.log "$tensorboard" --logdir run --host 127.0.0.1 --port 0
wait_for 'the address of TensorBoard' grep -q 'http://127.0.0.1:' tensorboard.log
url=$(grep -o 'http://127.0.0.1:[0-9]*/' tensorboard.log | head -1)
show python "$here/ask_tensorboard.py" "$url" 4 3 | tee asked.txt
grep -q '^encoder.weight *step  300   32768 elements' asked.txt || fail 'TensorBoard counts other elements'
if [[ ${1:-} == --stay ]]; then
  say "Open ${url}#histograms; Ctrl-C ends it all."
  wait "$started"
fi
