#!/usr/bin/env bash
# A checkpoint in git: checking out another step shows it in the mount that is there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need git
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=trainer GIT_AUTHOR_EMAIL=trainer@localhost GIT_COMMITTER_NAME=trainer GIT_COMMITTER_EMAIL=trainer@localhost

say 'Three steps of a training run, each a commit with a tag.'
git init -q -b main run
for step in 1000 1337 2000; do
  node "$here/make-step.mjs" run/model.pt "$step"
  git -C run add model.pt
  git -C run commit -q -m "step $step"
  git -C run tag "step-$step"
done
show git -C run log --oneline --decorate

mkdir mnt
show mlfs mount --follow run/model.pt mnt
show cat mnt/checkpoint/step.json
is_step() { [ "$(cat mnt/checkpoint/step.json)" = "$1" ]; }

say 'Back in time: git puts another file there, and the mount shows it.'
show git -C run checkout -q step-1337
wait_for 'step 1337' is_step 1337
show cat mnt/checkpoint/step.json
show head -2 mnt/views/txt/fc/bias.txt
show git -C run checkout -q step-1000
wait_for 'step 1000' is_step 1000
show head -2 mnt/views/txt/fc/bias.txt

say 'Who has edits does not lose them: the mount stays with its file and says why.'
show "echo 0.5 > mnt/model/fc/bias.bin"
show git -C run checkout -q step-2000
wait_for 'the refusal' grep -q 'belong to the file that was there before' mnt/logs/fuse.log
show "grep -o 'bytes of edits.*before' mnt/logs/fuse.log | tail -1"
is_step 1000 || fail 'the edits were left behind'
show mlfs discard mnt
wait_for 'step 2000' is_step 2000
show cat mnt/checkpoint/step.json
show mlfs umount mnt
