"""Trains with JAX on two processes that jax.distributed brings together: each has half of every batch.

usage: jax_distributed.py STEPS
"""
import json
import os
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

config = json.loads(os.environ["TF_CONFIG"])
workers, index = config["cluster"]["worker"], config["task"]["index"]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(workers[0], num_processes=len(workers), process_id=index)

# TensorFlow opens HDFS for a program that has no client of its own.
import tensorflow as tf

directory, steps = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
mesh = Mesh(np.array(jax.devices()), ["batch"])
sharded, everywhere = NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec())
state = tf.train.Checkpoint(weights=tf.Variable(tf.zeros([4])), step=tf.Variable(0, dtype=tf.int64))
manager = tf.train.CheckpointManager(state, directory if index == 0 else "aside", max_to_keep=3)
newest = tf.train.latest_checkpoint(directory)
if newest:
    state.restore(newest)
    print("restored", newest, flush=True)
begin = int(multihost_utils.broadcast_one_to_all(np.int32(state.step.numpy())))
if begin != int(state.step):
    sys.exit(f"others begin at step {begin}")


def loss(weights, x, y):
    z = x @ weights
    return jnp.mean(jnp.logaddexp(0, z) - y * z), jnp.mean((z > 0) == (y > 0))


@jax.jit
def train(weights, x, y):
    (_, right), gradient = jax.value_and_grad(loss, has_aux=True)(weights, x, y)
    return weights - 0.5 * gradient, right


weights = jax.device_put(state.weights.numpy(), everywhere)
for n in range(begin + 1, steps + 1):
    x = np.random.default_rng([n, index]).normal(size=(64, 4)).astype("float32")
    y = (x @ np.float32([1, -2, 3, -1]) > 0).astype("float32")
    x, y = (jax.make_array_from_process_local_data(sharded, a) for a in (x, y))
    weights, right = train(weights, x, y)
    if n % 10 == 0:
        print(f"step {n}/{steps} accuracy {float(right):.3f}", flush=True)
    if n % 50 == 0:
        state.weights.assign(np.asarray(weights))
        state.step.assign(n)
        manager.save(n)
    time.sleep(0.05)
print(f"RESULT worker/{index} JAX {jax.__version__} steps {steps} accuracy {float(right):.3f}", flush=True)
