#!/usr/bin/env python3
"""Reads TFRecords that the job's tasks share, as a tf.data.Dataset, and prints what it consumed.

usage: lease_dataset.py PATTERN CHECKPOINTS DIE_AT

What it has seen is its model, saved every ten batches. It kills itself after DIE_AT batches, begins again with the newest model, and has
then seen every record once: those that came after the save come again.
"""
import os
import sys

import tensorflow as tf

import tfos.data

pattern, checkpoints, die_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
saved = sorted(int(name) for name in os.listdir(checkpoints) if name.isdigit())
step = saved[-1] if saved else 0
assert tfos.data.restore(step)
seen = []
if step:
    with open(os.path.join(checkpoints, str(step))) as f:
        seen = f.read().split()
ds = tfos.data.tfrecords(pattern, split=3_000, shuffle=3, batch=8).prefetch(2)
for records, positions in ds:
    seen += [r.decode().split(" ")[0] for r in records.numpy()]
    tfos.data.consumed(positions)
    step += 1
    if step % 10 == 0:
        tfos.data.save(step)
        with open(os.path.join(checkpoints, f"{step}.part"), "w") as f:
            f.write("\n".join(seen))
        os.rename(os.path.join(checkpoints, f"{step}.part"), os.path.join(checkpoints, str(step)))
    if step == die_at and not saved:
        os.kill(os.getpid(), 9)
print("seen", len(seen), "distinct", len(set(seen)), "steps", step)
