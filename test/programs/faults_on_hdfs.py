"""Writes and reads files below a directory until there is one called stop, while somebody makes HDFS fail. Any error ends it.

usage: faults_on_hdfs.py DIRECTORY
"""

import os
import sys
import time

import tensorflow as tf

g = tf.io.gfile
base = sys.argv[1]
step = 0
while not g.exists(f"{base}/stop"):
    data = os.urandom(8 << 20)
    with g.GFile(f"{base}/data", "wb") as f:
        for i in range(0, len(data), 1 << 20):
            f.write(data[i : i + (1 << 20)])
            time.sleep(0.05)
    if g.GFile(f"{base}/data", "rb").read() != data:
        sys.exit("read something else than was written")
    step += 1
    print(f"step {step}", flush=True)
