"""Compares what /viz says of a mounted checkpoint with what numpy says of the same bytes.

    python3 check-events.py MOUNT      prints {"tensors": how many were compared, "steps": [...], "tags": [...]}

Reads the events by examples/04-tensorboard/read_events.py, which checks lengths, checksums and the wire format.
"""
import glob
import importlib.util
import json
import math
import os
import sys

import numpy

numpy.seterr(all="ignore")

HERE = os.path.dirname(os.path.abspath(__file__))
READER = os.path.join(HERE, "..", "..", "examples", "04-tensorboard", "read_events.py")
spec = importlib.util.spec_from_file_location("read_events", READER)
reader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reader)

NUMPY = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "uint8": "u1", "int8": "i1", "int16": "<i2", "int32": "<i4", "int64": "<i8", "bool": "u1"}
# Neither limits nor counts are rounded; sums are, each reader in its own order.
CLOSE = 1e-6


def close(one, other):
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-12)


def check(name, values, event):
    scalars = {value["tag"]: value["scalar"] for value in event["values"] if "scalar" in value}
    (histogram,) = [value["histogram"] for value in event["values"] if "histogram" in value]
    finite = values[numpy.isfinite(values)]
    assert histogram["num"] == finite.size, (name, histogram["num"], finite.size)
    assert sum(histogram["counts"]) == finite.size, name
    assert scalars["not_finite/" + name] == values.size - finite.size, name
    if finite.size == 0:
        assert math.isnan(scalars["mean/" + name]), name
        return
    assert (histogram["min"], histogram["max"]) == (finite.min(), finite.max()), name
    assert close(histogram["sum"], finite.sum()), (name, histogram["sum"], finite.sum())
    assert close(histogram["sum_squares"], (finite ** 2).sum()), name
    # Scalars are floats: beyond them they are infinite.
    mean, std = float(numpy.float32(finite.mean())), float(numpy.float32(finite.std()))
    assert math.isclose(scalars["mean/" + name], mean, rel_tol=1e-5, abs_tol=1e-7), name
    # Squares of doubles beyond 1e154 overflow in numpy.
    assert not math.isfinite(std) or math.isclose(scalars["std/" + name], std, rel_tol=1e-4, abs_tol=1e-7), name
    found = reader.buckets(histogram)
    assert sum(count for _, _, count in found) == finite.size, name
    for index, (left, right, count) in enumerate(found):
        # An element at an edge belongs to one of its two buckets.
        inside = ((finite > left) & (finite < right)).sum()
        at_most = ((finite >= left) & (finite <= right)).sum()
        assert inside <= count <= at_most, (name, index, left, right, count, inside, at_most)


def main():
    mount = sys.argv[1]
    with open(os.path.join(mount, "sys", "tensors.json")) as file:
        tensors = {tensor["name"]: tensor for tensor in json.load(file)}
    (path,) = glob.glob(os.path.join(glob.escape(mount), "viz", "*tfevents*"))
    events = list(reader.events(path))
    assert events[0]["file_version"] == "brain.Event:2"
    compared = 0
    tags = []
    for event in events[1:]:
        name = event["values"][0]["tag"]
        tags.append(name)
        tensor = tensors.get(name)
        if tensor is None or tensor["dtype"] not in NUMPY:
            continue
        values = numpy.fromfile(mount + tensor["file"], NUMPY[tensor["dtype"]]).astype("f8")
        check(name, values, event)
        compared += 1
    size = os.stat(path).st_size
    print(json.dumps({"tensors": compared, "steps": sorted({event["step"] for event in events[1:]}), "tags": tags, "size": size}))


if __name__ == "__main__":
    main()
