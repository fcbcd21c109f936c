"""Takes steps until it hangs, the first time; a second process of its own hangs with it."""

import os
import sys
import threading
import time


def waits_for_ever():
    threading.Event().wait()


def train():
    first = os.environ["TFOS_INCARNATION"] == "1"
    for step in range(1, 131 if first else 20):
        print("step %d/1000" % step, flush=True)
        time.sleep(0.1)
    if first:
        if os.fork() == 0:
            waits_for_ever()
        time.sleep(float(sys.argv[1]))


train()
