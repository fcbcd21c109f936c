"""Trains with DTensor on two clients, each with half of every batch: TensorFlow 2.21.

usage: dtensor.py STEPS
"""
import json
import os
import sys
import time

config = json.loads(os.environ["TF_CONFIG"])
index = config["task"]["index"]
os.environ["DTENSOR_CLIENT_ID"] = str(index)
os.environ["DTENSOR_NUM_CLIENTS"] = str(len(config["cluster"]["worker"]))
os.environ["DTENSOR_JOB_NAME"] = "worker"
os.environ["DTENSOR_JOBS"] = ",".join(config["cluster"]["worker"])

import numpy as np
import tensorflow as tf
from tensorflow.experimental import dtensor

directory, steps = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
dtensor.initialize_accelerator_system("CPU")
mesh = dtensor.create_distributed_mesh([("batch", dtensor.num_clients())], device_type="CPU")
weights = dtensor.DVariable(dtensor.call_with_layout(tf.zeros, dtensor.Layout.replicated(mesh, rank=1), [4]))
checkpoint = tf.train.Checkpoint(weights=weights)
begin, newest = 0, tf.train.latest_checkpoint(directory)
if newest:
    checkpoint.restore(newest)
    begin = int(newest.rpartition("-")[2])
    print("restored", newest, flush=True)


@tf.function
def train(x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=tf.linalg.matvec(x, weights)))
    weights.assign_sub(0.5 * tape.gradient(loss, weights))
    return loss


def local_part(seed):
    x = np.random.default_rng([seed, index]).normal(size=(64, 4)).astype("float32")
    return x, (x @ [1, -2, 3, -1] > 0).astype("float32")


for n in range(begin + 1, steps + 1):
    x, y = local_part(n)
    x = dtensor.pack([x], dtensor.Layout(["batch", dtensor.UNSHARDED], mesh))
    y = dtensor.pack([y], dtensor.Layout(["batch"], mesh))
    loss = train(x, y)
    if n % 10 == 0:
        print(f"step {n}/{steps} loss {float(dtensor.unpack(loss)[0]):.4f}", flush=True)
    if n % 50 == 0:
        checkpoint.write(f"{directory}/ckpt-{n}")
        if index == 0:
            tf.compat.v1.train.update_checkpoint_state(directory, f"{directory}/ckpt-{n}")
    time.sleep(0.05)
x, y = local_part(0)
right = np.mean((x @ dtensor.unpack(weights.read_value())[0].numpy() > 0) == (y > 0))
print(f"RESULT worker/{index} TensorFlow {tf.__version__} steps {steps} accuracy {right:.3f}", flush=True)
