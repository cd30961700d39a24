#!/usr/bin/env bash
# A model is asked with cp and answers with a file: whoever can read and write files can use it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
use_python torch numpy

python "$here/net.py" model.pt scripted.pt
python -c "import numpy; numpy.save('x.npy', numpy.linspace(0, 1, 64, dtype='<f4').reshape(1, 8, 8))"
mkdir mnt
show mlfs mount model.pt mnt

say 'The compute is a process of its own. Its parameters are mapped from mnt/model.'
worker="$(command -v python) $root/examples/python/mlfs_worker.py --module net:build"
export PYTHONPATH=$here
background serve.log mlfs serve mnt --worker "$worker"
serving=$started
wait_for 'mlfs serve' grep -q 'is served' serve.log

say 'A question is a file, and so is its answer: reading it waits.'
show mkdir mnt/rpc/1
show cp x.npy mnt/rpc/1/input.npy
show cp mnt/rpc/1/output.npy y.npy
show "python -c \"import numpy; print('class', numpy.load('y.npy').argmax())\" | tee first.txt"
show cat mnt/rpc/1/status

say 'The same on one descriptor, without a folder.'
show python "$here/ask.py" mnt

say 'Edit the model: class 3 gets a large bias. The next answer knows it.'
show sed -i '4s/.*/100/' mnt/views/txt/3/bias.txt
show python "$here/ask.py" mnt
python "$here/ask.py" mnt | grep -q 'class 3' || fail 'the edit did not reach the worker'

say 'A question that makes no sense is an input/output error, and the file error says why.'
show "echo nonsense > mnt/rpc/1/input.npy"
status=0
show "cat mnt/rpc/1/output.npy" || status=$?
((status != 0)) || fail 'nonsense was answered'
show cat mnt/rpc/1/error

say 'TorchScript needs no Python code of the model.'
stop "$serving"
worker="$(command -v python) $root/examples/python/mlfs_worker.py --script $work/scripted.pt"
background script.log mlfs serve mnt --worker "$worker"
show cp x.npy mnt/rpc/1/input.npy
show "python -c \"import numpy; print('class', numpy.load('mnt/rpc/1/output.npy').argmax())\" | tee second.txt"
cmp first.txt second.txt || fail 'the scripted model answers differently'
stop "$started"
show cat serve.log
show mlfs umount mnt
