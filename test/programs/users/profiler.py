"""Trains on workers that each serve TensorFlow's profiler on a port of its own; a task beside them captures what they do.

usage: profiler.py STEPS
"""
import json
import os
import sys
import time

import tensorflow as tf

PORT = 6009  # and on, one for each worker: they may share a host
directory, steps = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
config = json.loads(os.environ["TF_CONFIG"])
role, index = config["task"]["type"], config["task"]["index"]

if role == "observer":
    hosts = [address.rpartition(":")[0] for address in config["cluster"]["worker"]]
    services = ",".join(f"grpc://{host}:{PORT + i}" for i, host in enumerate(hosts))
    profiles = []
    while len(profiles) < 6:
        try:
            tf.profiler.experimental.client.trace(services, directory + "/logs", 500, num_tracing_attempts=1)
        except (tf.errors.UnavailableError, tf.errors.InternalError) as e:  # no worker is there
            print("no profile:", type(e).__name__, flush=True)
        profiles = tf.io.gfile.glob(directory + "/logs/plugins/profile/*/*.xplane.pb")
        time.sleep(1)
    for port in sorted({p.split("_")[-1].split(".")[0] for p in profiles}):
        print(f"RESULT a profile of port {port}", flush=True)
    sys.exit()

tf.profiler.experimental.server.start(PORT + index)
weights, step = tf.Variable(tf.zeros([4])), tf.Variable(0, dtype=tf.int64)
mine = f"{directory}/worker-{index}"
manager = tf.train.CheckpointManager(tf.train.Checkpoint(weights=weights, step=step), mine, max_to_keep=3)
if manager.restore_or_initialize():
    print("restored", manager.latest_checkpoint, flush=True)


@tf.function
def train(n):
    x = tf.random.stateless_normal([64, 4], seed=[n, 7])
    y = tf.cast(tf.linalg.matvec(x, tf.constant([1.0, -2, 3, -1])) > 0, tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, tf.linalg.matvec(x, weights)))
    weights.assign_sub(0.5 * tape.gradient(loss, weights))
    step.assign_add(1)
    return tf.reduce_mean(tf.cast((tf.linalg.matvec(x, weights) > 0) == (y > 0), tf.float32))


while step < steps:
    with tf.profiler.experimental.Trace("train", step_num=int(step), _r=1):
        right = train(tf.cast(step, tf.int32))
    n = int(step)
    if n % 10 == 0:
        print(f"step {n}/{steps} accuracy {right:.3f}", flush=True)
    if n % 50 == 0:
        manager.save(n)
    time.sleep(0.05)
print(f"RESULT worker/{index} TensorFlow {tf.__version__} steps {int(step)} accuracy {right:.3f}", flush=True)
