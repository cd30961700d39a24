"""A small digit classifier that thinks slowly: model.py make|forward CHECKPOINT [MOUNTPOINT]

`forward` loads the checkpoint, runs one batch through the model with mlfs_torch attached to the mount, and says what it answered.
"""
import collections
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../python"))
import mlfs_torch  # noqa: E402


class Slowly(torch.nn.Module):
    """Gives people time to look."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        time.sleep(0.3)
        return self.layer(x)


def make_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        collections.OrderedDict(
            normalize=torch.nn.BatchNorm2d(1),
            conv=Slowly(torch.nn.Conv2d(1, 4, 3, stride=2)),
            relu=torch.nn.ReLU(),
            flatten=torch.nn.Flatten(),
            classify=Slowly(torch.nn.Linear(4 * 3 * 3, 10)),
        )
    )


def main(verb, checkpoint, mountpoint=None):
    model = make_model().eval()
    if verb == "make":
        torch.save(model.state_dict(), checkpoint)
        return
    model.load_state_dict(torch.load(checkpoint))
    torch.manual_seed(1)
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad(), mlfs_torch.attach(model, mountpoint, gradients=False, watch=False):
        print("answers:", *model(images).argmax(dim=1).tolist())


main(*sys.argv[1:])
