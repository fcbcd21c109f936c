"""Keeps a variable on the parameter server, adds to it, and prints where it is and what it holds."""

import json
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tensorflow.compat.v1 as tf  # noqa: E402

tf.disable_eager_execution()
config = json.loads(os.environ["TF_CONFIG"])
server = tf.train.Server(config["cluster"], job_name=config["task"]["type"], task_index=config["task"]["index"])
with tf.device("/job:ps/task:0/device:CPU:0"):
    v = tf.Variable([1.0, 2.0, 3.0], use_resource=True)
    twice = v.assign_add([1.0, 2.0, 3.0])
with tf.Session(server.target) as session:
    session.run(v.initializer)
    session.run(twice)
    print(f"on {v.device}: {session.run(v)}", flush=True)
