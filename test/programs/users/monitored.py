"""Trains as in TensorFlow 1: MonitoredTrainingSession, and SyncReplicasOptimizer, for which both who train make each step together.

usage: monitored.py STEPS
"""
import json
import os
import sys
import time

import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
tf.logging.set_verbosity(tf.logging.INFO)
steps = int(sys.argv[1])
config = json.loads(os.environ["TF_CONFIG"])
cluster = tf.train.ClusterSpec(config["cluster"])
role, index = config["task"]["type"], config["task"]["index"]
server = tf.train.Server(cluster, role, index)
if role == "ps":
    server.join()

chief = role == "chief"
trainers = cluster.num_tasks("chief") + cluster.num_tasks("worker")
rng = np.random.default_rng(index)
with tf.device(tf.train.replica_device_setter(worker_device=f"/job:{role}/task:{index}", cluster=cluster)):
    step = tf.train.get_or_create_global_step()
    x, y = tf.placeholder(tf.float32, [None, 4]), tf.placeholder(tf.float32, [None])
    weights = tf.get_variable("weights", [4], initializer=tf.zeros_initializer())
    scores = tf.linalg.matvec(x, weights)
    loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=scores))
    accuracy = tf.reduce_mean(tf.cast(tf.equal(scores > 0, y > 0), tf.float32))
    optimizer = tf.train.SyncReplicasOptimizer(tf.train.GradientDescentOptimizer(0.5), trainers, trainers)
    train = optimizer.minimize(loss, global_step=step)

hooks = [optimizer.make_session_run_hook(chief, num_tokens=trainers)]
if chief:  # the others serve until they are stopped: who ends first would leave the last waiting for gradients
    hooks.append(tf.train.StopAtStepHook(last_step=steps))
devices = ["/job:ps", f"/job:{role}/task:{index}"]
with tf.train.MonitoredTrainingSession(
    server.target,
    is_chief=chief,
    checkpoint_dir=os.environ["TFOS_CHECKPOINT_DIR"],
    hooks=hooks,
    save_checkpoint_steps=50,
    stop_grace_period_secs=10,
    config=tf.ConfigProto(device_filters=devices),
) as session:
    n = 0
    while not session.should_stop():
        points = rng.normal(size=(64, 4))
        feed = {x: points, y: points @ [1, -2, 3, -1] > 0}
        _, n, right = session.run([train, step, accuracy], feed)
        if n % 10 == 0:
            print(f"step {n}/{steps} accuracy {right:.3f}", flush=True)
        time.sleep(0.05)
print(f"RESULT {role}/{index} TensorFlow {tf.__version__} steps {n} accuracy {right:.3f}", flush=True)
