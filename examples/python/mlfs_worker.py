"""A worker for `mlfs serve`: answers the calls of /rpc with a torch model.

    mlfs serve MNT --worker 'python3 mlfs_worker.py --script model.pt'
    mlfs serve MNT --worker 'python3 mlfs_worker.py --module package.module:factory'

--script is a TorchScript file; without it the mount's own checkpoint (MNT/export/model.pt) is taken. --module names a function that
makes the module; its parameters are the mount's: mapped from MNT/model, so that they need no memory of their own, and taken anew
when an edit changed them. Requests and answers are .npy files. torch and numpy are needed. The protocol is in docs/RPC.md.
"""
import argparse
import importlib
import json
import os
import sys

import numpy
import torch


class Parameters:
    """Keeps a module's parameters and buffers those of the mount."""

    def __init__(self, module, mount):
        self.files = []
        with open(os.path.join(mount, "sys/tensors.json")) as listing:
            tensors = {entry["name"]: entry for entry in json.load(listing)}
        state = module.state_dict(keep_vars=True)
        for name, tensor in state.items():
            entry = tensors.get(name)
            if entry is None or entry["file"] is None:
                raise SystemExit(f"mlfs_worker: the mount has no tensor {name}")
            dtype = getattr(torch, entry["dtype"])
            if list(tensor.shape) != entry["shape"] or tensor.dtype != dtype:
                raise SystemExit(f"mlfs_worker: {name} is {entry['dtype']}{entry['shape']} in the mount")
            path = mount + entry["file"]
            if tensor.numel() > 0:
                # A private mapping: pages come when they are used, and go when memory is short.
                mapped = torch.from_file(path, shared=False, size=tensor.numel(), dtype=dtype)
                tensor.data = mapped.reshape(tensor.shape)
            self.files.append((path, tensor, os.stat(path).st_mtime_ns))

    def refresh(self):
        """What was edited is mapped anew."""
        for index, (path, tensor, seen) in enumerate(self.files):
            now = os.stat(path).st_mtime_ns
            if now != seen and tensor.numel() > 0:
                mapped = torch.from_file(path, shared=False, size=tensor.numel(), dtype=tensor.dtype)
                tensor.data = mapped.reshape(tensor.shape)
                self.files[index] = (path, tensor, now)


def load(arguments, mount):
    if arguments.module is None:
        path = arguments.script or os.path.join(mount, "export/model.pt")
        return torch.jit.load(path, map_location="cpu").eval(), None
    name, _, factory = arguments.module.partition(":")
    sys.path.insert(0, os.getcwd())
    module = getattr(importlib.import_module(name), factory)().eval()
    return module, Parameters(module, mount)


def first_tensor(output):
    """Of what a model gives back: the tensor, or the first one in a tuple, list or dict."""
    while not isinstance(output, torch.Tensor):
        values = list(output.values()) if isinstance(output, dict) else list(output)
        output = values[0]
    return output


def answer(model, request):
    array = numpy.load(request["input"], allow_pickle=False)
    with torch.inference_mode():
        output = first_tensor(model(torch.from_numpy(numpy.ascontiguousarray(array))))
    with open(request["output"], "r+b") as file:
        numpy.lib.format.write_array(file, output.numpy(), allow_pickle=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--script", help="a TorchScript file (default: the mounted checkpoint)")
    kind.add_argument("--module", help="module:factory")
    arguments = parser.parse_args()
    mount = os.environ.get("MLFS_MOUNT")
    if mount is None:
        parser.error("this is started by mlfs serve")
    # What a model prints must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    model, parameters = load(arguments, mount)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if parameters is not None:
                parameters.refresh()
            answer(model, request)
            reply = {"id": request["id"], "ok": True}
        except Exception as error:  # whatever a model throws is an answer, too
            reply = {"id": request["id"], "ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
