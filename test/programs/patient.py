"""Counts to a number, a step every 40 ms. Warned that it will lose its container it saves a checkpoint, and goes on until it is
stopped; its next incarnation goes on from there. SIGUSR1 is told too, if the job asks for it (notice.signal). What it has to tell
goes beside the checkpoint as well: the logs of a node that was drained may be gone with it."""

import os
import signal
import sys
import time

import tfos

last = int(sys.argv[1])
me = tfos.task()
saved = os.path.join(os.environ["TFOS_CHECKPOINT_DIR"], f"{me.role}-{me.index}")
step = int(open(saved, encoding="utf-8").read()) if os.path.exists(saved) else 0


def say(text):
    print(text, flush=True)
    with open(saved + ".log", "a", encoding="utf-8") as f:
        f.write(text + "\n")


signal.signal(signal.SIGUSR1, lambda *_: say("got SIGUSR1"))
say(f"incarnation {me.incarnation} begins at step {step}")
warned = tfos.termination_watcher()  # what TensorFlow asks when TerminationConfig has it
told = False
while step < last:
    time.sleep(0.04)
    step += 1
    if step % 20 == 0:
        tfos.step(step, of=last)
    if warned() and not told:
        told, notice = True, tfos.notice()
        with open(saved + ".part", "w", encoding="utf-8") as f:
            f.write(str(step))
        os.rename(saved + ".part", saved)
        say(f"saved step {step}: {notice.reason}, {notice.seconds_left():.0f} s left")
say(f"ends at step {step}")
