"""Writes the two checkpoints beside it, with torch 2.13: what src/checkpoint/torch/writer.ts must write byte for byte."""

import os
from collections import OrderedDict

import torch

here = os.path.dirname(os.path.abspath(__file__))

state_dict = OrderedDict(
    [("fc.weight", torch.arange(6.0).reshape(2, 3)), ("fc.bias", torch.zeros(0))]
)
state_dict._metadata = OrderedDict([("", {"version": 1}), ("fc", {"version": 1})])
torch.save(state_dict, os.path.join(here, "state_dict.pt"))

training = {
    "epoch": 3,
    "big": 2**40,
    "neg": -5,
    "f": 1.5,
    "n": None,
    "t": True,
    "s": "hé",
    "l": [1, 2],
    "tu": (1,),
    "tu0": (),
    "tu4": (1, 2, 3, 4),
    "e": {},
    "model_state_dict": state_dict,
    "tied": state_dict["fc.weight"],
    "view": state_dict["fc.weight"].t(),
    "p": torch.nn.Parameter(torch.arange(12, dtype=torch.bfloat16).reshape(3, 4)),
    "u": torch.tensor([0, 1, 2], dtype=torch.uint16),
    "b": b"xx",
    "i300": 300,
    "i70000": 70000,
    "big2": 2**70,
    "many": list(range(300)),
    "optimizer_state_dict": {
        "state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2, 3)}},
        "param_groups": [{"lr": 0.001, "betas": (0.9, 0.999), "params": [0, 1]}],
    },
}
torch.save(training, os.path.join(here, "training.pt"))
