"""Asks a running TensorBoard what it has: python3 ask_tensorboard.py http://127.0.0.1:6006/ TENSORS STEPS

Waits until it has read that many tensors at that many steps, and prints what it sends to the browser.
"""
import json
import sys
import time
import urllib.parse
import urllib.request

url, tensors, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def ask(plugin, **query):
    path = "%sdata/plugin/%s?%s" % (url, plugin, urllib.parse.urlencode(query))
    with urllib.request.urlopen(path, timeout=10) as answer:
        return json.load(answer)


def histograms():
    """Every tag of the one run, with its histograms by step."""
    tags = ask("histograms/tags")
    return {(run, tag): ask("histograms/histograms", run=run, tag=tag) for run, found in tags.items() for tag in sorted(found)}


end = time.time() + 60
found = {}
while len(found) < tensors or any(len(series) < steps for series in found.values()):
    if time.time() > end:
        sys.exit("TensorBoard has not read it all: %s" % {tag: len(series) for (_, tag), series in found.items()})
    time.sleep(0.5)
    found = histograms()
for (run, tag), series in found.items():
    for _, step, buckets in series:
        print("%-16s step %4d  %6d elements in %2d buckets from %8.4f to %.4f" % (
            tag, step, sum(count for _, _, count in buckets), len(buckets), buckets[0][0], buckets[-1][1]))
