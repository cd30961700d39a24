#!/usr/bin/env bash
# A walk through ResNet-18: what it is made of, told by its folders. torchvision's own model when Python has it, otherwise the same
# names and shapes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
use_python os struct

if python -c 'import torch, torchvision' 2>/dev/null; then
  say "torchvision's resnet18(), with random weights"
  python -c 'import sys, torch, torchvision; torch.save(torchvision.models.resnet18(), sys.argv[1])' resnet18.pt
else
  say 'No torchvision in Python: the same names and shapes, written by mlfs.'
  node "$here/make-resnet18.mjs" resnet18.pt
fi
mkdir mnt
show mlfs mount resnet18.pt mnt
cd mnt

say 'The way in: one convolution, four stages of two blocks, one linear layer.'
show ls model
show ls model/layer1/0 model/layer1/0/conv1

say 'Each stage has twice the channels of the one before.'
show python "$here/look.py" shapes model/conv1/weight.bin model/layer[1-4]/1/conv2/weight.bin model/fc/weight.bin
say 'Where the width changes the shortcut needs a convolution, too: three times.'
show find model -name downsample

say 'So most of the weights are at the end.'
show 'du -s --apparent-size --block-size=1 model/conv1 model/layer? model/fc'
say 'A parameter has a NAME.grad beside it, a buffer has none. Parameters, counted by the size of their files:'
show "find model -name '*.grad' | sed 's/grad\$/bin/' | xargs stat -c %s | awk '{ bytes += \$1 } END { print bytes / 4 }' | tee ../parameters.txt"
(($(cat ../parameters.txt) == 11689512)) || fail 'ResNet-18 has 11,689,512 parameters'

say 'The same as a tree of modules.'
show 'head -n 24 ir/module_tree.txt'
if command -v dot >/dev/null; then
  say 'And as a picture.'
  show dot -Tsvg ir/module_tree.dot -o ../resnet18.svg
  show ls -l ../resnet18.svg
fi

say 'One of the 64 filters that see the image first. 588 bytes of 46.8 million.'
show python "$here/look.py" filter model/conv1/weight.bin 5
say 'What the last layer is like, and its first numbers as text.'
show 'grep -A 7 statistics views/json/fc/weight.json'
show 'head -n 3 views/txt/fc/bias.txt'
say 'How the weights of a stage are distributed (a line of what TensorBoard shows).'
show "python $root/examples/04-tensorboard/read_events.py viz | grep -E '^layer3.*conv..weight'"

say 'A trick from the papers: when each block begins as the identity, training starts better. So the last scale of each block is set to zero.'
show 'for block in model/layer?/?; do echo 0 > $block/bn2/weight.bin; done'
show od -A d -t f4 -N 16 model/layer4/1/bn2/weight.bin
show mlfs status .
cd "$work"
say 'Kept beside the checkpoint until it is committed; then the checkpoint has it, with right checksums.'
show mlfs commit mnt
show mlfs umount mnt
show mlfs verify resnet18.pt
mlfs cat resnet18.pt layer4.1.bn2.weight | cmp -n 2048 - /dev/zero || fail 'the scale is not zero in the checkpoint'
