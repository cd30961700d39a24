"""A small network: digits of 8 by 8 pixels."""
import sys

import torch


def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))


if __name__ == "__main__":
    checkpoint, script = sys.argv[1:]
    torch.manual_seed(7)
    module = build().eval()
    torch.save(module.state_dict(), checkpoint)
    torch.jit.script(module).save(script)
