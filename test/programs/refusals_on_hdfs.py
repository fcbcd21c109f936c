"""Writes where it may not, and checks the errors.

usage: refusals_on_hdfs.py FULL FORBIDDEN      a directory whose quota is used up, and one that is another user's
"""

import os
import sys

import tensorflow as tf

g = tf.io.gfile
full, forbidden = sys.argv[1:]


def raises(error, path, call):
    try:
        call()
    except error as e:
        if path.split("://")[-1] not in str(e):  # hdfs:///x is told as hdfs://namenode/x
            sys.exit(f"the message does not name {path}: {e}")
        print(f"{error.__name__}: {e}"[:300], flush=True)
        return
    sys.exit(f"no {error.__name__} for {path}")


def write(path):
    with g.GFile(path, "w") as f:
        f.write("x")


raises(tf.errors.ResourceExhaustedError, full, lambda: write(f"{full}/x"))
raises(tf.errors.ResourceExhaustedError, full, lambda: g.mkdir(f"{full}/d"))
raises(tf.errors.PermissionDeniedError, forbidden, lambda: write(f"{forbidden}/x"))
raises(tf.errors.PermissionDeniedError, forbidden, lambda: g.listdir(forbidden))
raises(tf.errors.PermissionDeniedError, forbidden, lambda: g.GFile(f"{forbidden}/f").read())
if not os.fork():  # what was connected before the fork is the parent's
    os.environ["TFOS_FILES"] = "/nobody/listens"
    raises(tf.errors.UnavailableError, full, lambda: g.exists(full))
    os._exit(0)
if os.wait()[1]:
    sys.exit("the child found otherwise")
print("all is well")
