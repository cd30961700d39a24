"""Trains a small model of a checkpoint, attached to its mount: train.py make|train CHECKPOINT [MOUNTPOINT]

Its hidden layer is dead: with biases of -100 every ReLU gives zero, so no gradient comes through and no optimizer can
mend it.
"""

import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../python"))
import mlfs_torch

STEPS = 2000
GOOD = 0.02


def make_model():
    torch.manual_seed(0)
    model = torch.nn.Sequential()
    model.add_module("hidden", torch.nn.Linear(1, 32))
    model.add_module("relu", torch.nn.ReLU())
    model.add_module("head", torch.nn.Linear(32, 1))
    with torch.no_grad():
        model.hidden.weight.uniform_(-3, 3)
        model.hidden.bias.fill_(-100)
    return model


def train(checkpoint, mountpoint):
    model = make_model()
    model.load_state_dict(torch.load(checkpoint))
    x = torch.linspace(-1, 1, 256).unsqueeze(1)
    y = torch.sin(3 * x)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    step = 0

    def reloaded(names):
        print(f"step {step}: reloaded {', '.join(names)}", flush=True)

    mended_at = None
    with mlfs_torch.attach(
        model, mountpoint, activations=False, every=100, interval=0.05, on_reload=reloaded
    ) as handle:
        while mended_at is None or step < mended_at + STEPS:
            optimizer.zero_grad()
            output = model(x)
            loss = torch.nn.functional.mse_loss(output, y)
            loss.backward()
            optimizer.step()
            if handle.reloads > 0 and mended_at is None:
                mended_at = step
            if step % (100 if mended_at is None else 10) == 0:
                alive = int((model.hidden(x) > 0).any(dim=0).sum())
                print(f"step {step}: loss {loss.item():.4f}, {alive} of 32 units alive", flush=True)
            if loss.item() < GOOD:
                print(f"step {step}: loss {loss.item():.4f}: learned", flush=True)
                return
            step += 1
            time.sleep(0.002)
    sys.exit(f"the loss is {loss.item():.4f} after {STEPS} more steps")


command, *arguments = sys.argv[1:]
if command == "make":
    torch.save(make_model().state_dict(), *arguments)
else:
    train(*arguments)
