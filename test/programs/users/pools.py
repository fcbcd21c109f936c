"""Trains on features that pools of processes make: one that is forked before TensorFlow starts, and one that is spawned beside it.

usage: pools.py STEPS
"""
import concurrent.futures
import multiprocessing
import os
import sys
import time

import numpy as np


def batch(seed):
    """Points, and on which side of a line each lies."""
    x = np.random.default_rng(seed).normal(size=(64, 4)).astype("float32")
    return x, (x @ [1, -2, 3, -1] > 0).astype("float32")


def norm(x):
    return float(np.linalg.norm(x))


def main():
    steps = int(sys.argv[1])
    forked = multiprocessing.get_context("fork").Pool(2)
    import tensorflow as tf

    weights, step = tf.Variable(tf.zeros([4])), tf.Variable(0, dtype=tf.int64)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(weights=weights, step=step), os.environ["TFOS_CHECKPOINT_DIR"], 3)
    if manager.restore_or_initialize():
        print("restored", manager.latest_checkpoint, flush=True)
    optimizer_rate = 0.5
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as spawned:
        begin = int(step.numpy())
        for n, (x, y) in enumerate(forked.imap(batch, range(begin + 1, steps + 1)), begin + 1):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, tf.linalg.matvec(x, weights)))
            weights.assign_sub(optimizer_rate * tape.gradient(loss, weights))
            step.assign(n)
            if n % 10 == 0:
                manager.save(n)
                length = spawned.submit(norm, weights.numpy()).result()
                print(f"step {n}/{steps} loss {loss:.4f} length {length:.3f}", flush=True)
            time.sleep(0.05)
    forked.close()
    forked.join()
    x, y = batch(0)
    right = np.mean((x @ weights.numpy() > 0) == (y > 0))
    print(f"RESULT steps {int(step.numpy())} accuracy {right:.3f}", flush=True)


if __name__ == "__main__":
    main()
