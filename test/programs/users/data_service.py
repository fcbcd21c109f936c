"""Trains on a tf.data service whose dispatcher and workers have roles of their own, each on the port that TF_CONFIG gives it.

usage: data_service.py STEPS
"""
import json
import os
import sys
import time

import tensorflow as tf

service = tf.data.experimental.service
directory, steps = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
config = json.loads(os.environ["TF_CONFIG"])
role, index = config["task"]["type"], config["task"]["index"]
own, dispatcher = config["cluster"][role][index], config["cluster"]["dispatcher"][0]

if role == "dispatcher":
    # Its journal lets a dispatcher that starts again go on where it was.
    options = service.DispatcherConfig(port=int(own.rpartition(":")[2]), fault_tolerant_mode=True, work_dir=directory + "/dispatcher")
    service.DispatchServer(options).join()
if role == "dataworker":
    options = service.WorkerConfig(
        dispatcher_address=dispatcher, worker_address=own, port=int(own.rpartition(":")[2]), dispatcher_timeout_ms=60000
    )
    service.WorkerServer(options).join()

weights, step = tf.Variable(tf.zeros([4])), tf.Variable(0, dtype=tf.int64)
manager = tf.train.CheckpointManager(tf.train.Checkpoint(weights=weights, step=step), directory, max_to_keep=3)
if manager.restore_or_initialize():
    print("restored", manager.latest_checkpoint, flush=True)


def batch(n):
    x = tf.random.stateless_normal([64, 4], seed=[n, 7])
    return x, tf.cast(tf.linalg.matvec(x, tf.constant([1.0, -2, 3, -1])) > 0, tf.float32)


data = tf.data.Dataset.range(1 << 40).map(batch).apply(service.distribute("parallel_epochs", "grpc://" + dispatcher))
for x, y in data:
    if step >= steps:
        break
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, tf.linalg.matvec(x, weights)))
    weights.assign_sub(0.5 * tape.gradient(loss, weights))
    step.assign_add(1)
    n = int(step)
    if n % 10 == 0:
        print(f"step {n}/{steps} loss {loss:.4f}", flush=True)
    if n % 50 == 0:
        manager.save(n)
    time.sleep(0.05)
x, y = batch(1)
right = tf.reduce_mean(tf.cast((tf.linalg.matvec(x, weights) > 0) == (y > 0), tf.float32))
print(f"RESULT TensorFlow {tf.__version__} steps {int(step)} accuracy {right:.3f}", flush=True)
