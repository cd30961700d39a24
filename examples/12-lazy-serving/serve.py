"""Answers requests with a model larger than the memory it may use: serve.py numpy|torch MODEL-FOLDER TOKEN...

The weights are mapped from the mount, not read: what a request touches comes in page by page, and the kernel drops
pages again when memory is short. MODEL-FOLDER is the /model of a mount, or of anything else with the same files.
"""

import os
import sys

WIDTH, HIDDEN = 1024, 4096


def with_numpy(folder, tokens):
    import numpy

    def weight(path, columns):
        return numpy.memmap(os.path.join(folder, path, "weight.bin"), numpy.float32, "r").reshape(-1, columns)

    embed = weight("embed", WIDTH)
    x = embed[tokens].T
    for block in blocks(folder):
        up, down = weight(f"blocks/{block}/up", WIDTH), weight(f"blocks/{block}/down", HIDDEN)
        x = x + down @ numpy.maximum(up @ x, 0) / numpy.float32(64)
    return (x * x).sum(axis=0).tolist()


def with_torch(folder, tokens):
    import torch

    def weight(path, columns):
        name = os.path.join(folder, path, "weight.bin")
        count = os.path.getsize(name) // 4
        return torch.from_file(name, shared=False, size=count, dtype=torch.float32).view(-1, columns)

    embed = weight("embed", WIDTH)
    x = embed[tokens].T
    with torch.no_grad():
        for block in blocks(folder):
            up, down = weight(f"blocks/{block}/up", WIDTH), weight(f"blocks/{block}/down", HIDDEN)
            x = x + down @ torch.relu(up @ x) / 64
    return (x * x).sum(dim=0).tolist()


def blocks(folder):
    return sorted(os.listdir(os.path.join(folder, "blocks")), key=int)


def main():
    library, folder, *tokens = sys.argv[1:]
    answer = {"numpy": with_numpy, "torch": with_torch}[library]
    for token, value in zip(tokens, answer(folder, [int(token) for token in tokens])):
        print(f"{token}: {value:.3f}")


main()
