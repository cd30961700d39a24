"""Random operations on files of fixed size, against a buffer: fsx.py JSON.

{"files": [{"path": …, "offset": …, "size": …}, …], "size": …, "seed": …, "operations": …, "mmap": true, "coherent": true}

Each file shows [offset, offset + size) of one buffer; several may overlap. `coherent`: what is written through one file is seen at once
through the descriptors of another, and bytes of a replacement not before it is closed; otherwise files are opened anew to see what is there. The first mismatch ends the run: the operations
that led to it are printed, and where the bytes differ.
"""
import errno
import json
import mmap
import os
import random
import sys

plan = json.loads(sys.argv[1])
files, seed, operations = plan["files"], plan["seed"], plan["operations"]
chance = random.Random(seed)
history = []
buffer = bytearray(plan["size"])
for file in files:
    with open(file["path"], "rb") as opened:
        content = opened.read()
    assert len(content) == file["size"], (file["path"], len(content))
    buffer[file["offset"]:file["offset"] + file["size"]] = content
    file["fd"] = os.open(file["path"], os.O_RDWR)


def name(file):
    return os.path.basename(file["path"])


def fail(file, what, offset, got, wanted):
    at = next((i for i in range(min(len(got), len(wanted))) if got[i] != wanted[i]), min(len(got), len(wanted)))
    print(f"seed {seed}, operation {len(history)}: {name(file)}: {what}: {len(got)} bytes at {offset} instead of {len(wanted)}, "
          f"they differ at {offset + at}: {got[at:at + 16].hex()} instead of {wanted[at:at + 16].hex()}", file=sys.stderr)
    print("\n".join(history[-30:]), file=sys.stderr)
    sys.exit(1)


def refused(file, what, names, action, instead=()):
    """`instead`: what the action leaves there when it was carried out after all, and may be."""
    try:
        action()
    except OSError as error:
        if errno.errorcode[error.errno] in names:
            return
        print(f"seed {seed}, operation {len(history)}: {name(file)}: {what}: {errno.errorcode[error.errno]} instead of {names}", file=sys.stderr)
    else:
        if instead:
            return
        print(f"seed {seed}, operation {len(history)}: {name(file)}: {what} was not refused with {names}", file=sys.stderr)
    print("\n".join(history[-30:]), file=sys.stderr)
    sys.exit(1)


def place(file):
    """An offset and a length: small ones, ones at the edges of pages, and large ones."""
    size = file["size"]
    longest = chance.choice((1, 16, 4096, 4096, 70000, 300000))
    length = chance.randint(1, min(longest, size))
    offset = chance.randint(0, size - length)
    if chance.random() < 0.3:
        offset = offset // 4096 * 4096
    if chance.random() < 0.1:
        offset = size - length
    return offset, length


def wanted(file, offset, length):
    start = file["offset"] + offset
    return bytes(buffer[start:start + length])


def some_bytes(file, offset, length):
    """New bytes, or a mixture of new ones and those that are there."""
    if chance.random() < 0.2:
        mixed = bytearray(wanted(file, offset, length))
        for _ in range(chance.randint(0, 5)):
            mixed[chance.randrange(length)] ^= 1 << chance.randrange(8)
        return bytes(mixed)
    return chance.randbytes(length)


def put(file, offset, data):
    start = file["offset"] + offset
    buffer[start:start + len(data)] = data


def look_anew(but=None):
    if plan["coherent"]:
        return
    for file in files:
        if file is not but:
            os.close(file["fd"])
            file["fd"] = os.open(file["path"], os.O_RDWR)


def read(file):
    offset, length = place(file)
    history.append(f"read {name(file)} {offset} {length}")
    got = os.pread(file["fd"], length, offset)
    if got != wanted(file, offset, length):
        fail(file, "read", offset, got, wanted(file, offset, length))


def read_anew(file):
    offset, length = place(file)
    history.append(f"read from the server {name(file)} {offset} {length}")
    os.posix_fadvise(file["fd"], 0, 0, os.POSIX_FADV_DONTNEED)
    got = os.pread(file["fd"], length, offset)
    if got != wanted(file, offset, length):
        fail(file, "read from the server", offset, got, wanted(file, offset, length))


def write(file):
    offset, length = place(file)
    history.append(f"write {name(file)} {offset} {length}")
    data = some_bytes(file, offset, length)
    assert os.pwrite(file["fd"], data, offset) == length
    put(file, offset, data)
    look_anew(but=file)


def map_read(file):
    offset, length = place(file)
    history.append(f"mapped read {name(file)} {offset} {length}")
    with mmap.mmap(file["fd"], file["size"], prot=mmap.PROT_READ) as mapped:
        got = mapped[offset:offset + length]
    if got != wanted(file, offset, length):
        fail(file, "mapped read", offset, got, wanted(file, offset, length))


def map_write(file):
    offset, length = place(file)
    history.append(f"mapped write {name(file)} {offset} {length}")
    data = some_bytes(file, offset, length)
    with mmap.mmap(file["fd"], file["size"]) as mapped:
        mapped[offset:offset + length] = data
        mapped.flush()
    put(file, offset, data)
    look_anew(but=file)


def fsync(file):
    history.append(f"fsync {name(file)}")
    chance.choice((os.fsync, os.fdatasync))(file["fd"])


def reopen(file):
    history.append(f"reopen {name(file)}")
    os.close(file["fd"])
    file["fd"] = os.open(file["path"], os.O_RDWR)


def replace(file):
    history.append(f"replace {name(file)}")
    data = some_bytes(file, 0, file["size"])
    fd = os.open(file["path"], os.O_RDWR | os.O_TRUNC)
    at = 0
    while at < len(data):
        piece = data[at:at + chance.randint(1, 200000)]
        assert os.write(fd, piece) == len(piece)
        at += len(piece)
        if plan["coherent"] and chance.random() < 0.2:
            offset, length = place(file)
            got = os.pread(file["fd"], length, offset)
            if got != wanted(file, offset, length):
                fail(file, "read during a replacement", offset, got, wanted(file, offset, length))
    os.close(fd)
    put(file, 0, data)
    look_anew()


def rename_over(file):
    history.append(f"rename over {name(file)}")
    data = some_bytes(file, 0, file["size"])
    temporary = file["path"] + ".next"
    with open(temporary, "wb") as opened:
        opened.write(data)
    os.rename(temporary, file["path"])
    assert not os.path.exists(temporary)
    put(file, 0, data)
    look_anew()


def replace_by_other_size(file):
    size = chance.choice((65, file["size"] - 1, chance.randint(65, file["size"] - 1)))
    history.append(f"replace {name(file)} by {size} bytes")
    fd = os.open(file["path"], os.O_WRONLY | os.O_TRUNC)
    os.write(fd, chance.randbytes(size))
    refused(file, "closing a replacement of the wrong size", ("EINVAL",), lambda: os.close(fd))
    look_anew()


def rename_other_size_over(file):
    history.append(f"rename another size over {name(file)}")
    temporary = file["path"] + ".wrong"
    with open(temporary, "wb") as opened:
        opened.write(chance.randbytes(file["size"] + chance.choice((-1, 1, 4096))))
    refused(file, "renaming another size over it", ("EINVAL",), lambda: os.rename(temporary, file["path"]))
    os.unlink(temporary)


def write_past_the_end(file):
    """All of it is refused; the kernel may have split it, and then a part that fits was another write."""
    size = file["size"]
    offset = chance.choice((size, size - 1, size + 4096, size - 5000))
    history.append(f"write past the end of {name(file)} at {offset}")
    data = chance.randbytes(5001)
    written = []
    refused(file, "writing past the end", ("EFBIG",), lambda: written.append(os.pwrite(file["fd"], data, offset)), written)
    for count in written:
        if count > size - offset:
            fail(file, "writing past the end", offset, data[:count], data[:size - offset])
        put(file, offset, data[:count])
        look_anew(but=file)
    assert os.fstat(file["fd"]).st_size == size


def truncate(file):
    history.append(f"truncate {name(file)}")
    os.ftruncate(file["fd"], file["size"])
    refused(file, "truncating to another size", ("EFBIG",), lambda: os.ftruncate(file["fd"], file["size"] + 1))
    refused(file, "truncating to another size", ("EPERM",), lambda: os.truncate(file["path"], file["size"] - 1))


def stat(file):
    history.append(f"stat {name(file)}")
    assert os.stat(file["path"]).st_size == file["size"] == os.fstat(file["fd"]).st_size


weights = {read: 20, read_anew: 10, write: 30, fsync: 1, reopen: 4, replace: 2, rename_over: 2, replace_by_other_size: 1,
           rename_other_size_over: 1, write_past_the_end: 1, truncate: 1, stat: 2}
if plan["mmap"]:
    weights.update({map_read: 15, map_write: 15})
if not plan["coherent"]:
    # libfuse moves a file that is open out of the way before another takes its name, which a tensor refuses.
    weights.update({rename_over: 0, rename_other_size_over: 0})
kinds = list(weights)
for _ in range(operations):
    chance.choices(kinds, list(weights.values()))[0](chance.choice(files))

for file in files:
    os.close(file["fd"])
    with open(file["path"], "rb") as opened:
        content = opened.read()
    if content != wanted(file, 0, file["size"]):
        fail(file, "the whole at the end", 0, content, wanted(file, 0, file["size"]))
with open(plan["keep"], "wb") as kept:
    kept.write(buffer)
print(len(history), "operations")
