#!/usr/bin/env bash
# A model of 1 GiB is served by processes that together, page cache included, may have 256 MiB.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source "$here/memory-limit.sh"
use_python torch numpy

limit_memory 256
say 'From here on everything runs under a limit of 256 MiB: mlfs, numpy, torch and the page cache.'
show limited node "$here/make-model.mjs" model.pt
show ls -lh model.pt

say 'What everybody does first: read the model into memory.'
status=0
show limited python -c "import torch; torch.load('model.pt')" 2>&1 || status=$?
((status != 0)) || fail 'torch.load found room for 1 GiB in 256 MiB: is there no limit?'
echo "ended with $status: killed for want of memory"

say 'Now the mount, under the same limit. The weights are mapped, and come in as they are used.'
mkdir mnt
show limited mlfs mount --read-only model.pt mnt
show "limited python $here/serve.py numpy mnt/model 1 4711 32767 | tee numpy.txt"
show "limited python $here/serve.py torch mnt/model 1 4711 32767 | tee torch.txt"
cmp numpy.txt torch.txt || fail 'numpy and torch answer differently'

say 'One row of the embedding costs one row.'
show 'limited python -c "
import numpy
embed = numpy.memmap(\"mnt/model/embed/weight.bin\", numpy.float32, \"r\", shape=(32768, 1024))
print(embed[4711, :4])"'

say "The most memory that was ever in use, of ${limit_mib} MiB: $(peak_mib) MiB"
(($(peak_mib) <= limit_mib)) || fail 'the limit was not kept'
show mlfs umount mnt
