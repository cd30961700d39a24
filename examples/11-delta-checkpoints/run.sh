#!/usr/bin/env bash
# Only what training changed travels: rsync --inplace between mounts, and mlfs diff says which tensors, how much, how far.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need rsync

node "$here/make-steps.mjs" step-1000.pt step-2000.pt
show ls -l step-1000.pt step-2000.pt
say 'What a thousand steps changed: exit code 1 says that something did.'
status=0
show mlfs diff step-1000.pt step-2000.pt || status=$?
((status == 1)) || fail 'the steps are the same'

say 'The far side has step 1000. It is mounted, and rsync brings its tensors up to step 2000.'
cp step-1000.pt far.pt
mkdir near far
mlfs mount --read-only step-2000.pt near >/dev/null
show mlfs mount far.pt far
show "rsync -r --inplace --no-whole-file --checksum --stats near/model/ far/model/ | grep -E 'Literal|Matched|transferred'"
sync far/sys/control

say 'The journal of the far side has what differed, and little more.'
journal=$(du -bc far.pt.mlfs/journal | tail -1 | cut -f 1)
whole=$(stat -c %s step-2000.pt)
echo "journal: $journal bytes, checkpoint: $whole bytes"
((journal < whole / 10)) || fail 'the journal is as large as the model'
show mlfs diff step-2000.pt far

say 'Committed, it is the new step: byte for byte the same tensors.'
show mlfs commit far
show mlfs diff step-2000.pt far.pt
show mlfs verify far.pt
show mlfs umount far
show mlfs umount near
