"""Cases of mlfs_torch.py: attached.py CASE MOUNTPOINT. What they find out is printed as JSON.

The mount has a model of `Net`: conv, norm, relu (in place), head; see `make`.
"""

import json
import os
import sys
import time
import warnings

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../examples/python"))
import mlfs_torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 4, 3)
        self.norm = torch.nn.BatchNorm1d(4)
        self.relu = torch.nn.ReLU(inplace=True)
        self.head = torch.nn.Linear(4, 2)
        self.unused = torch.nn.Linear(2, 2)

    def forward(self, x):
        y = self.norm(self.conv(x))
        y += 1
        return self.head(self.relu(y).mean(dim=2))


def net():
    torch.manual_seed(1)
    return Net()


def step(model):
    model.zero_grad()
    output = model(torch.arange(12.0).reshape(2, 1, 6))
    output.sum().backward()
    return output


def make(path):
    torch.save(net().state_dict(), path)
    return {}


def listing(folder):
    """What is in a folder, without the CSV files that the mount shows beside arrays."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".csv"))


def wait_until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    sys.exit("what was waited for did not come")


def dumps(mount):
    """Outputs and gradients of a step, compared with what hooks of torch's own saw."""
    import numpy

    model = net()
    seen = {}
    hooks = [
        module.register_forward_hook(
            lambda _m, _i, output, name=name: seen.update({name: output.detach().clone()})
        )
        for name, module in model.named_children()
    ]
    expected_head_grad = torch.ones(2, 2).numpy()
    with mlfs_torch.attach(model, mount, watch=False) as handle:
        step(model)
        folder = handle.folder
    names = listing(folder)
    equal = {
        name: bool((numpy.load(f"{folder}/{name}.npy") == value.numpy()).all())
        for name, value in seen.items()
        if name != "unused"
    }
    grad_shapes = {
        name: list(numpy.load(f"{folder}/{name}").shape) for name in names if name.endswith(".grad.npy")
    }
    head = bool((numpy.load(f"{folder}/head.grad.npy") == expected_head_grad).all())
    through_relu = numpy.load(f"{folder}/relu.grad.npy") * (numpy.load(f"{folder}/relu.npy") > 0)
    norm = bool((numpy.load(f"{folder}/norm.grad.npy") == through_relu).all()) and bool(through_relu.any())
    gradients = {}
    for name, parameter in model.named_parameters():
        path = f"{mount}/model/{name.replace('.', '/')}.grad"
        written = numpy.fromfile(path, "<f4")
        gradients[name] = (
            "none" if parameter.grad is None else bool((written == parameter.grad.numpy().ravel()).all())
        )
        assert parameter.grad is not None or len(written) == 0, name
    for hook in hooks:
        hook.remove()
    step(model)
    return {
        "names": names,
        "equal": equal,
        "grad_shapes": grad_shapes,
        "head": head,
        "norm": norm,
        "gradients": gradients,
        "after_detach": listing(f"{mount}/activations") == [os.path.basename(folder)],
    }


def reload(mount):
    """Edits of a parameter and of a buffer reach the model at its next forward pass, and nothing else changes."""
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    names = []
    with mlfs_torch.attach(
        model, mount, activations=False, gradients=False, interval=0.02, on_reload=names.extend
    ) as handle:
        with open(f"{mount}/model/head/bias.bin", "r+b") as file:
            file.write(torch.tensor([1.5, -2.5]).numpy().tobytes())
        with open(f"{mount}/model/norm/running_mean.bin", "r+b") as file:
            file.seek(4)
            file.write(torch.tensor([7.0]).numpy().tobytes())
        model.eval()

        def came():
            model(torch.zeros(1, 1, 6))
            return handle.reloads >= 2

        wait_until(came)
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    with open(f"{mount}/model/head/bias.bin", "r+b") as file:
        file.write(bytes(8))
    time.sleep(0.2)
    model(torch.zeros(1, 1, 6))
    return {
        "names": sorted(set(names)),
        "changed": changed,
        "bias": model.head.bias.tolist(),
        "mean": model.norm.running_mean[1].item(),
        "leaf": model.head.bias.is_leaf,
    }


def push(mount):
    """The files become what the model holds, and the watcher does not take its own writing for an edit."""
    model = net()
    with mlfs_torch.attach(model, mount, activations=False, gradients=False, interval=0.02) as handle:
        with torch.no_grad():
            model.head.bias.fill_(3)
        handle.push()
        time.sleep(0.3)
        model(torch.zeros(2, 1, 6))
        reloads = handle.reloads
    with open(f"{mount}/model/head/bias.bin", "rb") as file:
        return {
            "file": torch.frombuffer(bytearray(file.read()), dtype=torch.float32).tolist(),
            "reloads": reloads,
        }


def outputs(mount):
    """Tuples, dicts, repeated calls, containers, passes that are left out, a model without gradients."""

    class Pair(torch.nn.Module):
        def forward(self, x):
            return {"a/b": x, "list": [x + 1, (x + 2, None)]}

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()
            self.inner = torch.nn.Sequential(torch.nn.Identity())

        def forward(self, x):
            self.pair(x)
            self.inner(x)
            return self.pair(x)["a/b"]

    model = Twice()
    folders = []
    with mlfs_torch.attach(model, mount, watch=False, every=2) as handle:
        for _ in range(3):
            model(torch.ones(2))
            folders.append(handle.folder)
    with mlfs_torch.attach(
        model, mount, watch=False, select=lambda name, _module: name in ("inner", "")
    ) as handle:
        model(torch.ones(2))
        selected = listing(handle.folder)
    return {
        "names": listing(folders[0]),
        "same": folders[0] == folders[1],
        "later": folders[2] > folders[0],
        "selected": selected,
    }


def trouble(mount):
    """A mount that is not there, or whose tensors are others, is one warning of each kind, and the training goes on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = net()
        with mlfs_torch.attach(model, f"{mount}/nothing", interval=0.01):
            for _ in range(3):
                step(model)
        gone = [str(warning.message).split(":")[1].strip() for warning in caught]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = net()
        model.head = torch.nn.Linear(4, 2).double()
        model.conv = torch.nn.Conv1d(1, 4, 5)
        with mlfs_torch.attach(model, mount, activations=False, interval=0.01) as handle:
            joined = sorted(handle._files)
        other = [str(warning.message).split(":")[1].strip() for warning in caught]
    return {"gone": gone, "other": other, "joined": joined}


def dtypes(folder):
    """Every dtype of this torch through save_npy, read by numpy."""
    import numpy

    found = {}
    for name in [
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
        "float8_e4m3fn",
        "float8_e5m2",
    ]:
        dtype = getattr(torch, name, None)
        if dtype is None:
            continue
        tensor = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(dtype)
        for kind, value in {
            "plain": tensor,
            "transposed": tensor.t(),
            "scalar": tensor[1, 2],
            "empty": tensor[:0],
        }.items():
            path = f"{folder}/{name}.npy"
            mlfs_torch.save_npy(path, value)
            array = numpy.load(path, mmap_mode="r" if kind == "plain" else None)
            size = torch.empty(0, dtype=dtype).element_size()
            raw = value.contiguous()
            integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}.get(size)
            if integers is not None and value.numel() > 0:
                wanted = raw.reshape(-1).view(integers).numpy().tobytes()
            else:
                wanted = b"" if value.numel() == 0 else raw.numpy().tobytes()
            assert array.shape == tuple(value.shape), (name, kind, array.shape)
            assert numpy.ascontiguousarray(array).tobytes() == wanted, (name, kind)
        found[name] = array.dtype.str
    mlfs_torch.save_npy(f"{folder}/conj.npy", torch.tensor([1 + 2j]).conj())
    mlfs_torch.save_npy(f"{folder}/sparse.npy", torch.eye(3).to_sparse())
    assert numpy.load(f"{folder}/conj.npy")[0] == 1 - 2j
    assert (numpy.load(f"{folder}/sparse.npy") == numpy.eye(3)).all()
    with open(f"{folder}/float32.npy", "rb") as file:
        header = file.read(10)
    return {
        "types": found,
        "aligned": (10 + header[8] + 256 * header[9]) % 64,
        "left": [name for name in listing(folder) if name.startswith(".")],
    }


case, *arguments = sys.argv[1:]
print(json.dumps(globals()[case](*arguments)))
