#!/bin/sh
# ResNet-18 as a directory. Torchvision's own model when Python has it, otherwise the same names and shapes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ -e "$root/dist/cli/main.js" ] || (cd "$root" && npm run --silent build)
mlfs() { node "$root/dist/cli/main.js" "$@"; }
show() { printf '\n$ %s\n' "$*"; "$@"; }

folder=$(mktemp -d)
mkdir "$folder/mount"
cleanup() {
  cd /
  if grep -q " $folder/mount " /proc/mounts; then mlfs umount --lazy "$folder/mount"; fi
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

model=$folder/resnet18.pt
if python3 -c 'import torch, torchvision' 2>/dev/null; then
  echo "torchvision's resnet18(), with random weights"
  python3 -c 'import sys, torch, torchvision; torch.save(torchvision.models.resnet18(), sys.argv[1])' "$model"
else
  echo 'no torchvision in Python: the same names and shapes, written by mlfs'
  node "$here/make-resnet18.mjs" "$model"
fi

show mlfs info "$model"
show mlfs ls "$model" layer2.0
show mlfs mount "$model" "$folder/mount"
cd "$folder/mount"
show ls model model/layer1/0 model/layer1/0/conv1
show du -sh --apparent-size model
show head -n 20 sys/model_str
show sha256sum model/fc/weight.bin
show od -A d -t f4 -N 32 model/conv1/weight.bin
printf '\n$ mlfs cat resnet18.pt fc.weight | cmp - model/fc/weight.bin && echo the same bytes\n'
mlfs cat "$model" fc.weight | cmp - model/fc/weight.bin
echo 'the same bytes'
cd /
show mlfs verify "$model"
show mlfs umount "$folder/mount"
