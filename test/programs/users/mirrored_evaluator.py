"""Trains with MultiWorkerMirroredStrategy in a loop of its own; an evaluator with the same strategy looks at each checkpoint.

usage: mirrored_evaluator.py STEPS
"""
import os
import sys
import time

import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
resolver = strategy.cluster_resolver
directory, steps = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
role, index = resolver.task_type, resolver.task_id
with strategy.scope():
    weights = tf.Variable(tf.zeros([4]))
    step = tf.Variable(0, dtype=tf.int64, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
checkpoint = tf.train.Checkpoint(weights=weights, step=step)


def batch(n):
    x = tf.random.stateless_normal([64, 4], seed=[n, 7])
    return x, tf.cast(tf.linalg.matvec(x, tf.constant([1.0, -2, 3, -1])) > 0, tf.float32)


def replica(x, y):
    with tf.GradientTape() as tape:
        scores = tf.linalg.matvec(x, weights)
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, scores))
    gradient = tf.distribute.get_replica_context().all_reduce("mean", tape.gradient(loss, weights))
    weights.assign_sub(0.5 * gradient)
    step.assign_add(1)


@tf.function
def train(x, y):
    strategy.run(replica, [x, y])


@tf.function
def accuracy(x, y):
    right = strategy.run(lambda: tf.reduce_mean(tf.cast((tf.linalg.matvec(x, weights) > 0) == (y > 0), tf.float32)))
    return strategy.reduce("mean", right, axis=None)


if role == "evaluator":
    print("the evaluator has", strategy.num_replicas_in_sync, "replica", flush=True)
    for newest in tf.train.checkpoints_iterator(directory):
        checkpoint.restore(newest).expect_partial()
        n = int(step.numpy())
        print(f"RESULT evaluator: step {n} accuracy {accuracy(*batch(0)):.3f}", flush=True)
        if n >= steps:
            sys.exit()

newest = tf.train.latest_checkpoint(directory)
if newest:
    checkpoint.restore(newest)
    print("restored", newest, flush=True)
# All take part in saving; only the first keeps what it saved.
manager = tf.train.CheckpointManager(checkpoint, directory if role == "chief" else "aside", max_to_keep=3)
for n in range(int(step.numpy()) + 1, steps + 1):
    train(*batch(2 * n + (role == "worker")))
    if n % 10 == 0:
        print(f"step {n}/{steps}", flush=True)
    if n % 50 == 0:
        manager.save(n)
    time.sleep(0.05)
print(f"RESULT {role}/{index} TensorFlow {tf.__version__} steps {int(step.numpy())}", flush=True)
