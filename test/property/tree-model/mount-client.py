"""Carries operations out on a mount: one in a line of JSON, one answer in a line."""
import errno
import json
import os
import sys

mount, slots = sys.argv[1], {}
access = {"read": os.O_RDONLY, "write": os.O_WRONLY, "both": os.O_RDWR}


def perform(order):
    kind = order["do"]
    if kind == "open":
        flags = access[order["access"]] | (os.O_TRUNC if order["truncate"] else 0) | (os.O_CREAT if order["create"] else 0)
        slots[order["slot"]] = os.open(mount + order["path"], flags)
    elif kind == "close":
        os.close(slots.pop(order["slot"]))
    elif kind == "fsync":
        os.fsync(slots[order["slot"]])
    elif kind == "read":
        return os.pread(slots[order["slot"]], order["length"], order["offset"]).hex()
    elif kind == "write":
        return os.pwrite(slots[order["slot"]], bytes.fromhex(order["bytes"]), order["offset"])
    elif kind == "ftruncate":
        os.ftruncate(slots[order["slot"]], order["size"])
    elif kind == "truncate":
        os.truncate(mount + order["path"], order["size"])
    elif kind == "rename":
        os.rename(mount + order["path"], mount + order["to"])
    elif kind in ("unlink", "mkdir", "rmdir"):
        getattr(os, kind)(mount + order["path"])
    elif kind == "list":
        return sorted(os.listdir(mount + order["path"]))
    elif kind == "size":
        return os.stat(mount + order["path"]).st_size
    elif kind == "content":
        with open(mount + order["path"], "rb") as file:
            return file.read().hex()
    elif kind in ("commit", "discard"):
        fd = os.open(mount + "/sys/control", os.O_WRONLY)
        try:
            os.write(fd, kind.encode() + b"\n")
        finally:
            os.close(fd)
    else:
        raise AssertionError(kind)


for line in sys.stdin:
    try:
        answer = {"value": perform(json.loads(line))}
    except OSError as error:
        answer = {"errno": errno.errorcode[error.errno]}
    print(json.dumps(answer), flush=True)
