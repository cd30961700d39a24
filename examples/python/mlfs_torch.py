"""A PyTorch model and its mounted checkpoint, joined: what the model computes becomes files, and what is edited
reaches the model.

    import mlfs_torch
    handle = mlfs_torch.attach(model, "/mnt/m")
    ...                                   # the training loop, as it is
    handle.detach()

While it is attached
  * each forward pass makes a folder /activations/<time>/ with the output of each layer: `<module path>.npy`. Several
    tensors are `<module path>#<index or key>.npy`, a second call in the same pass is `<module path>@2.npy`.
  * the backward pass adds `<module path>.grad.npy`, the gradient of that output, and when it is over writes the
    gradient of each parameter to /model/<path>/<name>.grad.
  * parameters and buffers whose files change are read again, and the model has them at its next forward pass. The
    whole tensor becomes what the file holds. (`handle.push()` is the other direction: the files become what the
    model holds.)

A file of /activations appears under its name when it is whole. numpy has no bfloat16 and no float8: these go out as
<u2 and |u1.

Needs torch (1.13 or newer) and the standard library. An error of the mount is a warning, once for each kind, and never
stops the training. The hooks are for eager mode; under torch.jit.trace they do nothing.
"""

import ctypes
import json
import os
import threading
import time
import warnings

import torch

__all__ = ["attach", "save_npy", "Handle"]


def attach(
    model,
    mountpoint,
    *,
    activations=True,
    gradients=True,
    watch=True,
    every=1,
    interval=0.25,
    select=None,
    on_reload=None,
):
    """Joins `model` and the mount at `mountpoint` until the handle that it returns is detached.

    activations   write the outputs of layers; False for none
    gradients     write the gradients of outputs (if their activations are written) and of parameters
    watch         read parameters and buffers again when their files change
    every         write those of every n-th forward pass, the first one included
    interval      seconds between two looks at the files
    select        select(name, module) says whose output is written; without it, layers: what has no modules inside
                  or parameters of its own
    on_reload     is called with the names of the tensors that were just read again, in the thread of the model
    """
    handle = Handle(model, os.fspath(mountpoint), every, on_reload)
    if activations:
        handle._dump_activations(select or _is_layer, gradients)
    if gradients:
        handle._dump_gradients()
    if watch:
        handle._watch(interval)
    return handle


class Handle:
    """What `attach` returns. `folder` is where the last pass was written, or None; `reloads` counts tensors that were
    read again."""

    def __init__(self, model, mountpoint, every, on_reload):
        self.model = model
        self.mountpoint = mountpoint
        self.folder = None
        self.reloads = 0
        self._every = every
        self._on_reload = on_reload
        self._warned = set()
        self._hooks = [model.register_forward_pre_hook(self._begin_pass)]
        self._files = self._files_of_tensors()
        self._passes = 0
        self._pass = None
        self._backward = False
        self._nodes = []
        self._lock = threading.Lock()
        self._changed = {}
        self._signatures = {}
        self._ending = threading.Event()
        self._watcher = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.detach()

    def detach(self):
        """Takes every hook away and ends the watcher. The model stays as it is."""
        self._ending.set()
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._nodes.clear()
        self._pass = None
        # A watcher that waits for a mount that never answers is a daemon, and ends with the process.
        if self._watcher is not None:
            self._watcher.join(timeout=5)

    def apply(self):
        """Gives the model the tensors whose files changed, now. Every forward pass begins with it."""
        if not self._changed:
            return
        with self._lock:
            changed, self._changed = self._changed, {}
        state = self._state()
        for name, value in changed.items():
            # Not in the eyes of autograd: a backward pass that is still to come keeps its own versions.
            state[name].data.copy_(value)
        self.reloads += len(changed)
        if self._on_reload is not None:
            self._on_reload(list(changed))

    def push(self):
        """Writes the model's parameters and buffers into their files, as edits of the mount."""
        for name, path in self._files.items():
            tensor = self._state()[name]
            with self._lock, self._reported("parameters"):
                _write_in_place(path, tensor)
                if name in self._signatures:
                    self._signatures[name] = _signature(path)

    # What the mount has --------------------------------------------------------------------------------------

    def _state(self):
        return self.model.state_dict(keep_vars=True)

    def _files_of_tensors(self):
        """The file of each parameter and buffer, where the mount has one of the same dtype and shape."""
        documents = []
        with self._reported("parameters"), open(os.path.join(self.mountpoint, "sys/tensors.json")) as file:
            documents = json.load(file)
        known = {}
        for document in documents:
            names = [document["name"], *document.get("aliases", ())]
            if document["file"].startswith("/model/"):
                names.append(document["file"][len("/model/") : -len(".bin")].replace("/", "."))
            for name in names:
                known[name] = document
        files = {}
        for name, tensor in self._state().items():
            document = known.get(name) or known.get(_without_wrapper(name))
            if document is None or not isinstance(tensor, torch.Tensor):
                continue
            here = (str(tensor.dtype).replace("torch.", ""), list(tensor.shape))
            there = (document["dtype"], document["shape"])
            if here == there:
                files[name] = self.mountpoint + document["file"]
            else:
                self._warn(
                    "dtypes and shapes", f"{name} is {here} in the model and {there} in the mount: not joined"
                )
        return files

    # Forward -------------------------------------------------------------------------------------------------

    def _dump_activations(self, select, gradients):
        for name, module in self.model.named_modules():
            if select(name, module):
                self._hooks.append(
                    module.register_forward_hook(self._output_hook(name or type(module).__name__, gradients))
                )

    def _begin_pass(self, _module, _inputs):
        if torch.jit.is_tracing():
            return
        self.apply()
        # A backward pass that failed did not come to its end.
        self._backward = False
        self._pass = _Pass(self) if self._passes % self._every == 0 else None
        self._passes += 1

    def _output_hook(self, name, gradients):
        def hook(_module, _inputs, output):
            current = self._pass
            if current is None or torch.jit.is_tracing():
                return
            for stem, tensor in _named_tensors(current.stem(name), output):
                current.write(stem, tensor)
                # Not register_full_backward_hook: it refuses outputs that are changed in place, as ResNet's
                # `out += identity` does. This hook is given the same gradient.
                if gradients and tensor.requires_grad:
                    tensor.register_hook(lambda gradient, stem=stem: current.write(f"{stem}.grad", gradient))

        return hook

    # Backward ------------------------------------------------------------------------------------------------

    def _dump_gradients(self):
        """Autograd tells when a parameter's gradient was added up; the first of a pass asks to hear of its end."""
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad or name not in self._files:
                continue
            with torch.enable_grad():
                node = parameter.expand_as(parameter).grad_fn.next_functions[0][0]
            self._nodes.append(node)
            self._hooks.append(node.register_hook(self._gradient_came))

    def _gradient_came(self, *_):
        if not self._backward and (self._pass is not None or self._passes == 0):
            self._backward = True
            torch.autograd.Variable._execution_engine.queue_callback(self._end_backward)

    def _end_backward(self):
        self._backward = False
        for name, parameter in self.model.named_parameters():
            if name in self._files and parameter.grad is not None:
                with self._reported("gradients"):
                    _write_in_place(f"{self._files[name][: -len('.bin')]}.grad", parameter.grad)

    # Watching ------------------------------------------------------------------------------------------------

    def _watch(self, interval):
        for name, path in self._files.items():
            with self._reported("parameters"):
                self._signatures[name] = _signature(path)
        self._watcher = threading.Thread(
            target=self._look_again_and_again, args=(interval,), name="mlfs", daemon=True
        )
        self._watcher.start()

    def _look_again_and_again(self, interval):
        pause = interval
        while not self._ending.wait(pause):
            began = time.monotonic()
            for name in self._signatures:
                with self._reported("parameters"):
                    self._look(name)
            # At most a twentieth of the time is spent looking, however many files there are.
            pause = max(interval, 19 * (time.monotonic() - began))

    def _look(self, name):
        path = self._files[name]
        with self._lock:
            signature = _signature(path)
            if signature == self._signatures[name]:
                return
            # From before the reading: what changes meanwhile is a change again.
            self._signatures[name] = signature
        value = _read(path, self._state()[name])
        with self._lock:
            self._changed[name] = value

    # Errors --------------------------------------------------------------------------------------------------

    def _reported(self, what):
        return _Reported(self, what)

    def _warn(self, what, message):
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(f"mlfs: {what}: {message}", RuntimeWarning, stacklevel=2)


class _Pass:
    """One forward pass and its folder, which is made when there is something to write."""

    def __init__(self, handle):
        self._handle = handle
        self._calls = {}
        self._folder = None

    def stem(self, name):
        count = self._calls[name] = self._calls.get(name, 0) + 1
        return _file_name(name) if count == 1 else f"{_file_name(name)}@{count}"

    def write(self, stem, tensor):
        with self._handle._reported("activations"):
            if self._folder is None:
                self._folder = self._handle.folder = _new_folder(
                    os.path.join(self._handle.mountpoint, "activations")
                )
            save_npy(os.path.join(self._folder, f"{stem}.npy"), tensor)


class _Reported:
    """Lets errors of the file system be warnings."""

    def __init__(self, handle, what):
        self._handle = handle
        self._what = what

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _traceback):
        if not isinstance(error, OSError):
            return False
        kind = f", {os.strerror(error.errno)}" if error.errno else ""
        self._handle._warn(self._what + kind, str(error))
        return True


# Tensors and files -------------------------------------------------------------------------------------------

NPY_TYPES = {
    "bool": "|b1",
    "uint8": "|u1",
    "int8": "|i1",
    "uint16": "<u2",
    "int16": "<i2",
    "uint32": "<u4",
    "int32": "<i4",
    "uint64": "<u8",
    "int64": "<i8",
    "float16": "<f2",
    "bfloat16": "<u2",
    "float32": "<f4",
    "float64": "<f8",
    "complex32": "<u4",
    "complex64": "<c8",
    "complex128": "<c16",
    "quint8": "|u1",
    "qint8": "|i1",
    "qint32": "<i4",
}


def save_npy(path, tensor):
    """Writes a tensor as numpy's .npy. It appears under its name, or replaces what had it, when it is whole."""
    dtype = str(tensor.dtype).replace("torch.", "")
    descr = NPY_TYPES.get(dtype) or ("|u1" if dtype.startswith("float8") else None)
    if descr is None:
        raise OSError(f"numpy has no type for {dtype}")
    shape = "".join(f"{size}, " for size in tensor.shape)
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}"
    # Magic, version 1.0, a length of two bytes; padded so that the elements begin at a multiple of 64.
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    folder, name = os.path.split(path)
    unfinished = os.path.join(folder, f".{name}.part")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        _write_all(fd, b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode("latin1"))
        _write_all(fd, _bytes_of(tensor))
    except BaseException:
        os.close(fd)
        os.unlink(unfinished)
        raise
    os.close(fd)
    os.rename(unfinished, path)


def _bytes_of(tensor):
    """The elements in C order as they lie in memory, without a copy where that can be."""
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    tensor = tensor.cpu().resolve_conj().resolve_neg().contiguous()
    count = tensor.numel() * tensor.element_size()
    if count == 0:
        return memoryview(b"")
    buffer = (ctypes.c_char * count).from_address(tensor.data_ptr())
    buffer.tensor = tensor
    return memoryview(buffer).cast("B")


def _write_all(fd, content):
    rest = memoryview(content)
    while len(rest) > 0:
        rest = rest[os.write(fd, rest) :]


def _write_in_place(path, tensor):
    fd = os.open(path, os.O_WRONLY)
    try:
        _write_all(fd, _bytes_of(tensor))
    finally:
        os.close(fd)


def _read(path, like):
    """The tensor that a file of exact bytes holds, on the CPU, of the dtype and shape of `like`."""
    wanted = like.numel() * like.element_size()
    content = bytearray(wanted)
    with open(path, "rb", buffering=0) as file:
        at = 0
        while at < wanted:
            count = file.readinto(memoryview(content)[at:])
            if not count:
                raise OSError(f"{path} has {at} bytes, {wanted} are wanted")
            at += count
    if wanted == 0:
        return torch.empty(like.shape, dtype=like.dtype)
    return torch.frombuffer(content, dtype=torch.uint8).view(like.dtype).reshape(like.shape)


def _signature(path):
    """What changes when the bytes of a file do."""
    found = os.stat(path)
    return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


# Names -------------------------------------------------------------------------------------------------------


def _is_layer(_name, module):
    return next(module.children(), None) is None or next(module.parameters(recurse=False), None) is not None


def _without_wrapper(name):
    """The name that a parameter has without DistributedDataParallel or torch.compile around its model."""
    for prefix in ("module.", "_orig_mod."):
        if name.startswith(prefix):
            return _without_wrapper(name[len(prefix) :])
    return name


def _named_tensors(stem, output):
    """The tensors of an output that may be a tensor, a tuple, a list or a dict, of such."""
    if isinstance(output, torch.Tensor):
        if output.device.type != "meta":
            yield stem, output
    elif isinstance(output, dict):
        for key, value in output.items():
            yield from _named_tensors(f"{stem}#{_file_name(str(key))}", value)
    elif isinstance(output, (tuple, list)):
        for index, value in enumerate(output):
            yield from _named_tensors(f"{stem}#{index}", value)


def _file_name(name):
    return name.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")


def _new_folder(parent):
    """A folder named for this moment, later in the order of names than those before it."""
    while True:
        now = time.time_ns()
        name = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9)) + f".{now // 1000 % 10**6:06d}Z"
        try:
            os.mkdir(os.path.join(parent, name))
            return os.path.join(parent, name)
        except FileExistsError:
            continue
