"""A ps, and a worker that pulls variables from it as often as it is told to: what a way of reaching peers costs.

    pull.py DIR

The worker does what DIR/go-N says, for N from 0 on: {"variable": "large" or "small", "times": n}. DIR/took-N then has the seconds that each
pull took. {} ends it. DIR/agent is the process id of its agent.
"""
import json
import os
import sys
import time

import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
directory = sys.argv[1]
config = json.loads(os.environ["TF_CONFIG"])
role = config["task"]["type"]


def note(name, what):
    path = os.path.join(directory, name)
    with open(path + ".new", "w") as f:
        json.dump(what, f)
    os.rename(path + ".new", path)


def order(n):
    path = os.path.join(directory, "go-%d" % n)
    while not os.path.exists(path):
        time.sleep(0.002)
    with open(path) as f:
        return json.load(f)


server = tf.distribute.Server(config["cluster"], job_name=role, task_index=0)
if role == "ps":
    server.join()

with open("/proc/%d/stat" % os.getppid()) as f:  # the guard's
    note("agent", int(f.read().rsplit(")", 1)[1].split()[1]))
sizes = {"large": 25 * 1000 * 1000, "small": 256}  # floats: 100 MB, 1 KiB
with tf.device("/job:ps/task:0"):
    variables = {name: tf.get_variable(name, [n], initializer=tf.ones_initializer()) for name, n in sizes.items()}
with tf.device("/job:worker/task:0/cpu:0"):
    pulls = {name: tf.identity(v)[0] for name, v in variables.items()}  # has all of v here, and gives one number
# Nothing may be worked out at the ps instead.
options = tf.ConfigProto()
options.graph_options.rewrite_options.disable_meta_optimizer = True
with tf.Session(server.target, config=options) as session:
    session.run(tf.global_variables_initializer())
    n = 0
    while True:
        todo = order(n)
        if not todo:
            break
        took = []
        for _ in range(todo["times"]):
            begin = time.perf_counter()
            assert session.run(pulls[todo["variable"]]) == 1
            took.append(time.perf_counter() - begin)
        note("took-%d" % n, took)
        n += 1
