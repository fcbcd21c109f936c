"""Trains as before MonitoredTrainingSession: a Supervisor's managed session on the chief and the worker, each at its own pace.

usage: supervisor.py STEPS
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

rng = np.random.default_rng(index)
with tf.device(tf.train.replica_device_setter(worker_device=f"/job:{role}/task:{index}", cluster=cluster)):
    step = tf.train.get_or_create_global_step()
    x, y = tf.placeholder(tf.float32, [None, 4]), tf.placeholder(tf.float32, [None])
    weights = tf.get_variable("weights", [4], initializer=tf.zeros_initializer())
    scores = tf.linalg.matvec(x, weights)
    loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=scores))
    accuracy = tf.reduce_mean(tf.cast(tf.equal(scores > 0, y > 0), tf.float32))
    train = tf.train.GradientDescentOptimizer(0.5).minimize(loss, global_step=step)

supervisor = tf.train.Supervisor(
    is_chief=role == "chief",
    logdir=os.environ["TFOS_CHECKPOINT_DIR"],
    global_step=step,
    save_model_secs=2,
    recovery_wait_secs=1,
)
devices = tf.ConfigProto(device_filters=["/job:ps", f"/job:{role}/task:{index}"])
with supervisor.managed_session(server.target, config=devices) as session:
    n = 0
    while not supervisor.should_stop() and n < steps:
        points = rng.normal(size=(64, 4))
        feed = {x: points, y: points @ [1, -2, 3, -1] > 0}
        _, n, right = session.run([train, step, accuracy], feed)
        if n % 10 == 0:
            print(f"step {n}/{steps} accuracy {right:.3f}", flush=True)
        time.sleep(0.05)
    if role == "chief":
        supervisor.saver.save(session, supervisor.save_path, global_step=step)
print(f"RESULT {role}/{index} TensorFlow {tf.__version__} steps {n} accuracy {right:.3f}", flush=True)
