"""Writes and reads files below a directory until there is one called stop, while somebody makes HDFS fail. Any error ends it.

Meanwhile an event file stays open, which gets a record and a flush in each step, and a log that is appended to. In the end both must
hold all of it.

usage: faults_on_hdfs.py DIRECTORY
"""

import os
import sys
import time

import tensorflow as tf

g = tf.io.gfile
base = sys.argv[1]
step = 0
g.makedirs(f"{base}/events")
events = tf.summary.create_file_writer(f"{base}/events")
log = g.GFile(f"{base}/log", "a")
while not g.exists(f"{base}/stop"):
    data = os.urandom(8 << 20)
    with g.GFile(f"{base}/data", "wb") as f:
        for i in range(0, len(data), 1 << 20):
            f.write(data[i : i + (1 << 20)])
            time.sleep(0.05)
    if g.GFile(f"{base}/data", "rb").read() != data:
        sys.exit("read something else than was written")
    step += 1
    with events.as_default():
        tf.summary.write("step", step, step=step)
    events.flush()
    log.write(f"step {step}\n")
    log.flush()
    print(f"step {step}", flush=True)

events.close()
log.close()
(name,) = g.glob(f"{base}/events/*")
records = tf.compat.v1.train.summary_iterator(name)
found = [r.step for r in records if r.HasField("summary")]
if found != list(range(1, step + 1)):
    sys.exit(f"of {step} events {len(found)} were found: {found}")
if g.GFile(f"{base}/log").read() != "".join(f"step {i}\n" for i in range(1, step + 1)):
    sys.exit("the log is not what was written")
print(f"all {step} records are there", flush=True)
