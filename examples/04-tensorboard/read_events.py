"""Reads a TensorBoard events file without TensorBoard and prints what it would show.

    python3 read_events.py RUN-FOLDER            # a line a tensor: mean, std, norm, its histogram in 30 bins
    python3 read_events.py --json RUN-FOLDER     # everything, an event a line

Everything is checked on the way: lengths, masked CRC-32C of lengths and events, protobuf's wire format. No package is needed.
"""
import glob
import json
import os
import struct
import sys

BARS = " ▁▂▃▄▅▆▇█"


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc_table()


def masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """The records of a TFRecord file: u64 length, u32 CRC of it, the bytes, u32 CRC of them."""
    with open(path, "rb") as file:
        offset = 0
        while head := file.read(12):
            assert len(head) == 12, "%s: byte %d: a record's head is cut" % (path, offset)
            length, crc = struct.unpack("<QI", head)
            assert crc == masked_crc(head[:8]), "%s: byte %d: wrong CRC of a length" % (path, offset)
            body = file.read(length + 4)
            assert len(body) == length + 4, "%s: byte %d: a record is cut" % (path, offset)
            assert struct.unpack("<I", body[length:])[0] == masked_crc(body[:length]), "%s: byte %d: wrong CRC" % (path, offset)
            yield body[:length]
            offset += 16 + length


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """The fields of a protobuf message: number and value, by wire type."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif wire == 5:
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        else:
            assert wire == 2, "wire type %d" % wire
            length, at = varint(data, at)
            assert at + length <= len(data), "a field leaves its message"
            value, at = data[at:at + length], at + length
        yield number, value


def doubles(data):
    return list(struct.unpack("<%dd" % (len(data) // 8), data))


HISTOGRAM = {1: "min", 2: "max", 3: "num", 4: "sum", 5: "sum_squares", 6: "limits", 7: "counts"}


def value_of(data):
    found = {}
    for number, value in fields(data):
        if number == 1:
            found["tag"] = value.decode()
        elif number == 2:
            found["scalar"] = value
        elif number == 5:
            found["histogram"] = {HISTOGRAM[key]: doubles(held) if key > 5 else held for key, held in fields(value)}
    return found


def events(path):
    for record in records(path):
        event = {"step": 0, "values": []}
        for number, value in fields(record):
            if number == 1:
                event["wall_time"] = value
            elif number == 2:
                event["step"] = value
            elif number == 3:
                event["file_version"] = value.decode()
            elif number == 5:
                event["values"] += [value_of(one) for key, one in fields(value) if key == 1]
        yield event


def buckets(histogram):
    """Left edge, right edge and count, as TensorBoard reads them: the outermost edges are the smallest and the largest element."""
    limits, counts = histogram["limits"], histogram["counts"]
    used = [index for index, count in enumerate(counts) if count > 0]
    if not used:
        return []
    first, last = used[0], used[-1]
    inner = limits[first:last]
    return list(zip([histogram["min"]] + inner, inner + [histogram["max"]], counts[first:last + 1]))


def bins(histogram, number=30):
    """TensorBoard's picture: equal bins, each bucket's count spread over the bins that it overlaps."""
    low, high = histogram["min"], histogram["max"]
    if low == high:
        low, high = low / 1.1 - 1, high * 1.1 + 1
    width = (high - low) / number
    heights = [0.0] * number
    for left, right, count in buckets(histogram):
        if right <= left:
            heights[min(number - 1, int((left - low) / width))] += count
            continue
        for index in range(max(0, int((left - low) / width)), min(number - 1, int((right - low) / width)) + 1):
            overlap = min(right, low + (index + 1) * width) - max(left, low + index * width)
            heights[index] += max(0.0, overlap) / (right - left) * count
    return heights


def bars(heights):
    top = max(heights, default=0) or 1
    return "".join(BARS[max(1, round(height / top * 8)) if height > 0 else 0] for height in heights)


def show(event):
    scalars = {value["tag"].split("/", 1)[0]: value["scalar"] for value in event["values"] if "scalar" in value}
    for value in event["values"]:
        if "histogram" in value:
            histogram = value["histogram"]
            print("%-26s step %-6d %9d elements  mean %10.3g  std %9.3g  norm %9.3g  %9.3g [%s] %.3g" % (
                value["tag"], event["step"], histogram["num"], scalars["mean"], scalars["std"], scalars["norm"],
                histogram["min"], bars(bins(histogram)), histogram["max"]))


def main():
    as_json = sys.argv[1] == "--json"
    folder = sys.argv[-1]
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*tfevents*"))):
        for event in events(path):
            if as_json:
                print(json.dumps(event))
            elif "file_version" in event:
                print("%s: %s" % (os.path.basename(path), event["file_version"]))
            else:
                show(event)


if __name__ == "__main__":
    main()
