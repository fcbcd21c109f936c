#!/usr/bin/env python3
"""Prints one JSON object that proves this task knows its cluster, and exits 0; with --serve it stays until SIGTERM.

Standard library only, and little of it: the benchmark counts its start. Without TF_CONFIG, or with one in which the task itself
is not to be found, it exits 1 and says so.
"""
import json
import os
import signal
import sys
import time

NAMES = (
    "CLUSTER_SPEC JOB_NAME TASK_INDEX TASK_NUM IS_CHIEF RANK WORLD_SIZE LOCAL_RANK MASTER_ADDR MASTER_PORT "
    "TB_PORT TENSORBOARD_PORT TF_GRPC_REUSE_PORT"
).split()

tf_config = json.loads(os.environ.get("TF_CONFIG", "{}"))
task = tf_config.get("task", {})
addresses = tf_config.get("cluster", {}).get(task.get("type"), [])
if not 0 <= task.get("index", -1) < len(addresses):
    sys.exit("TF_CONFIG does not say who I am: %s" % os.environ.get("TF_CONFIG"))
print(
    json.dumps(
        {
            "at": time.time(),
            "me": "%s/%d" % (task["type"], task["index"]),
            "address": addresses[task["index"]],
            "tf_config": tf_config,
            "env": {k: v for k, v in sorted(os.environ.items()) if k in NAMES or k.startswith("TFOS_")},
            "arguments": sys.argv[1:],
            "directory": sorted(os.listdir(".")),
        }
    ),
    flush=True,
)
if "--serve" in sys.argv:
    signal.pause()
