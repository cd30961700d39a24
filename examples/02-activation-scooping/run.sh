#!/usr/bin/env bash
# What a model's layers put out arrives in /activations while it runs, as .npy for programs and as .csv for people.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need inotifywait inotify-tools
use_python torch numpy

show python "$here/model.py" make model.pt
mkdir mnt
show mlfs mount model.pt mnt

say 'Somebody watches the folder.'
background scoop.log bash "$here/scoop.sh" "$work/mnt/activations"
scoop=$started
wait_for 'the watch' grep -q 'Watches established' scoop.log

say 'A forward pass, with hooks that write each output.'
show python "$here/model.py" forward model.pt mnt
wait_for 'the last output' grep -q '^classify' scoop.log
stop "$scoop"

say 'What the watcher saw, in its order; beside each file the first line of its CSV.'
show cat scoop.log
(($(grep -c '\.npy ' scoop.log) == 5)) || fail 'there are five layers'

run=$(echo mnt/activations/*)
say 'The answers are in the last file: a line for each image, ten scores. As text, and as numpy reads them.'
show "cut -d , -f 1-5 $run/classify.layer.csv"
show python -c "import numpy as np, sys; print(np.load(sys.argv[1], mmap_mode='r').argmax(axis=1))" "$run/classify.layer.npy"

say 'An ordinary folder: it is copied, tidied, and kept when the mount is gone.'
show cp "$run/conv.layer.npy" .
show rm "$run/flatten.npy"
show ls "$run"
show 'grep -E "passthrough_opens|plain_backed_opens" mnt/sys/status.json'
show mlfs umount mnt
show ls model.pt.mlfs/activations/*
