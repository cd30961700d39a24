"""Looks at tensor files with nothing but Python: a file is the numbers, its attributes say how they are laid out.

    python3 look.py shapes FILE...          the shape of each tensor
    python3 look.py filter FILE NUMBER      one 7 x 7 filter of a convolution as a picture, its channels added up
"""
import os
import struct
import sys

SHADES = " .:-=+*#%@"


def shape_of(path):
    text = os.getxattr(path, "user.mlfs.shape").decode()
    return [int(extent) for extent in text.split(",")] if text else []


def shapes(paths):
    for path in paths:
        print("%-42s %s" % (path, " x ".join(map(str, shape_of(path)))))


def draw(path, number):
    _, channels, height, width = shape_of(path)
    count = channels * height * width
    with open(path, "rb") as file:
        # Of the whole tensor, the bytes of this filter.
        file.seek(number * count * 4)
        numbers = struct.unpack("<%df" % count, file.read(count * 4))
    picture = [sum(numbers[at::height * width]) for at in range(height * width)]
    low, high = min(picture), max(picture)
    for row in range(height):
        line = picture[row * width:(row + 1) * width]
        print("   " + "".join(SHADES[int((value - low) / (high - low or 1) * 9)] * 2 for value in line))


if __name__ == "__main__":
    if sys.argv[1] == "shapes":
        shapes(sys.argv[2:])
    else:
        draw(sys.argv[2], int(sys.argv[3]))
