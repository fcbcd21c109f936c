#!/usr/bin/env python3
"""Counts steps, and keeps its state in local files alone: a pickle, written anew each time, and a NumPy array, written over in place.

Saves every --every steps, and once more when it is told to stop. Nothing in it knows of tfos but the name of a directory.
"""
import argparse
import os
import pickle
import signal
import time

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--every", type=int, default=10)
parser.add_argument("--pause", type=float, default=0.05)
parser.add_argument("--kill-agent-at", type=int, default=-1, help="step at which the task's first incarnation loses its agent")
args = parser.parse_args()

directory = os.environ["TFOS_CHECKPOINT_DIR"]
state = os.path.join(directory, "state.pkl")
weights = os.path.join(directory, "weights.npy")
assert os.path.isdir(directory), directory


def save(step):
    np.save(weights, np.full(100_000, step))
    with open(state + ".tmp", "wb") as f:
        pickle.dump({"step": step}, f)
    os.rename(state + ".tmp", state)
    print(f"saved step {step}", flush=True)


def stop(*_):
    global stopping
    stopping = True


stopping = False
signal.signal(signal.SIGTERM, stop)

step = 0
if os.path.exists(state):
    with open(state, "rb") as f:
        step = pickle.load(f)["step"]
    array = np.load(weights)
    # Each file is whole. Which of two files is newer nobody promises.
    assert array.shape == (100_000,) and (array == array[0]).all(), array
print(f"resumed at {step}", flush=True)
while step < args.steps and not stopping:
    step += 1
    print(f"step {step}/{args.steps}", flush=True)
    if step % args.every == 0:
        save(step)
    if step == args.kill_agent_at and os.environ["TFOS_INCARNATION"] == "1":
        with open(f"/proc/{os.getppid()}/stat") as f:  # of the guard, whose parent is the agent
            os.kill(int(f.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
    time.sleep(args.pause)
save(step)
