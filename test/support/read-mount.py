"""Reads every tensor of a mount and prints what is there: read-mount.py MOUNTPOINT."""
import errno
import hashlib
import json
import os
import stat
import sys

mount = sys.argv[1]


def digest(path):
    try:
        with open(path, "rb", buffering=0) as file:
            sha = hashlib.sha256()
            size = 0
            while chunk := file.read(1 << 20):
                sha.update(chunk)
                size += len(chunk)
            return {"sha256": sha.hexdigest(), "size": size, "stat_size": os.fstat(file.fileno()).st_size}
    except OSError as error:
        return {"error": errno.errorcode[error.errno]}


with open(os.path.join(mount, "sys/tensors.json")) as file:
    tensors = json.load(file)
read = {}
for tensor in tensors:
    path = os.path.join(mount, tensor["file"].lstrip("/"))
    inode = os.stat(path).st_ino
    if inode not in read:
        read[inode] = digest(path)
    tensor.update(read[inode])

bins, grads = {}, []
for room in "model", "checkpoint":
    for folder, _, names in os.walk(os.path.join(mount, room)):
        for name in names:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            assert stat.S_ISREG(facts.st_mode), path
            if name.endswith(".bin"):
                bins.setdefault(facts.st_ino, []).append(os.path.relpath(path, mount))
            if name.endswith(".grad"):
                grads.append(facts.st_size)
print(json.dumps({"tensors": tensors, "strays": [names for inode, names in bins.items() if inode not in read], "grads": grads}))
