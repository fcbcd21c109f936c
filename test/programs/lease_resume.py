#!/usr/bin/env python3
"""Reads TFRecords that the job's tasks share, with a checkpoint of TensorFlow every ten batches: what it has seen is its model.

usage: lease_resume.py PATTERN DIE_AT

It kills itself after DIE_AT batches, unless it began from a checkpoint. Whoever kills it, as often as they like: it has seen every record
once in the end, since the input goes back with the model.
"""
import os
import sys
import time

import tensorflow as tf

import tfos.data

pattern, die_at = sys.argv[1], int(sys.argv[2])
seen, step = tf.Variable("", dtype=tf.string), tf.Variable(0, dtype=tf.int64)
checkpoint = tf.train.Checkpoint(seen=seen, step=step)
manager = tf.train.CheckpointManager(checkpoint, os.environ["TFOS_CHECKPOINT_DIR"], max_to_keep=3)
began = manager.latest_checkpoint
if began:
    checkpoint.restore(began).assert_consumed()
    print("restored", os.path.basename(began), flush=True)
done = int(step.numpy())
assert tfos.data.restore(done)
names = seen.numpy().decode().split()
for records, positions in tfos.data.tfrecords(pattern, split=3_000, shuffle=3, batch=8).prefetch(2):
    names += [r.decode().split(" ")[0] for r in records.numpy()]
    tfos.data.consumed(positions)
    done += 1
    print(f"step {done}/1000", flush=True)
    if done % 10 == 0:
        tfos.data.save(done)
        seen.assign(" ".join(names))
        step.assign(done)
        manager.save(checkpoint_number=done)
    if done == die_at and not began:
        os.kill(os.getpid(), 9)
    time.sleep(0.1)
print("seen", len(names), "distinct", len(set(names)), "steps", done)
