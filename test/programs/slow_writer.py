"""Writes a file below the checkpoint directory, a piece after the other, until there is one called stop."""
import os
import time

import tensorflow as tf

g = tf.io.gfile
base = os.environ["TFOS_CHECKPOINT_DIR"]
with g.GFile(f"{base}/written-{os.environ['TFOS_INCARNATION']}", "wb") as f:
    step = 0
    while not g.exists(f"{base}/stop"):
        f.write(os.urandom(1 << 20))
        step += 1
        print(f"step {step}", flush=True)
        time.sleep(0.5)
