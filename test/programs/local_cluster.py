#!/usr/bin/env python3
"""Starts a program once per task on loopback with TF_CONFIG set, to try an example without tfos.

    local_cluster.py --chief --workers 2 --ps 1 -- python examples/digits/train_ps.py --checkpoint-dir /tmp/ck

Each task gets a directory of its own. Exit code 0 when the chief, or without a chief every worker, ended with 0; the rest is
stopped then. With --kill worker/0@100 that task gets SIGKILL once any task says it is at step 100 or later.
"""
import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

STEP = re.compile(r"\bstep (\d+)/\d+ loss ")


def reserve():
    """Returns a bound socket that never listens: the number stays ours, and TensorFlow can share it by SO_REUSEPORT."""
    with socket.socket() as probe:  # first without the option: with it, two reservations could get the same number
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("", port))
    return s


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--chief", action="store_true")
    p.add_argument("--workers", type=int, default=0)
    p.add_argument("--ps", type=int, default=0)
    p.add_argument("--timeout", type=float, default=300, help="seconds for everything")
    p.add_argument("--kill", metavar="ROLE/INDEX@STEP")
    p.add_argument("command", nargs="+")
    args = p.parse_args()

    counts = {"chief": int(args.chief), "worker": args.workers, "ps": args.ps}
    tasks = [f"{role}/{i}" for role, n in counts.items() for i in range(n)]
    ports = {task: reserve() for task in tasks}
    cluster = {}
    for task, s in ports.items():
        cluster.setdefault(task.split("/")[0], []).append("127.0.0.1:%d" % s.getsockname()[1])
    victim, at = (args.kill.split("@") + [""])[:2] if args.kill else ("", "")

    started, processes, readers = time.monotonic(), {}, []

    def follow(task):
        for line in processes[task].stdout:
            sys.stdout.write(f"{time.monotonic() - started:6.1f} [{task}] {line}")
            sys.stdout.flush()
            step = STEP.search(line)
            if victim and step and int(step[1]) >= int(at):
                processes[victim].kill()

    with tempfile.TemporaryDirectory(prefix="local-cluster-") as scratch:
        try:
            for task in tasks:
                role, index = task.split("/")
                os.makedirs(f"{scratch}/{task}")
                tf_config = {"cluster": cluster, "task": {"type": role, "index": int(index)}}
                processes[task] = subprocess.Popen(
                    args.command, cwd=f"{scratch}/{task}", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    env={**os.environ, "TF_CONFIG": json.dumps(tf_config), "TF_GRPC_REUSE_PORT": "true"})
                readers.append(threading.Thread(target=follow, args=(task,)))
                readers[-1].start()
            code = 0
            for task in ["chief/0"] if args.chief else [t for t in tasks if t.startswith("worker/")]:
                got = processes[task].wait(max(0, started + args.timeout - time.monotonic()))
                print(f"{time.monotonic() - started:6.1f} [{task}] exit {got}")
                code = code or got
        except subprocess.TimeoutExpired:
            print(f"not done after {args.timeout} s")
            code = 124
        finally:
            for process in processes.values():
                process.send_signal(signal.SIGTERM)
            for task, process in processes.items():
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    print(f"{time.monotonic() - started:6.1f} [{task}] ignores SIGTERM")
                    process.kill()
            for reader in readers:
                reader.join()
            left = {os.path.join(d, f) for d, _, files in os.walk(scratch) for f in files}
            if left:
                print("left in the tasks' directories:", *sorted(os.path.relpath(f, scratch) for f in left))
    print(f"all over after {time.monotonic() - started:.1f} s:",
          ", ".join(f"{t} {p.returncode}" for t, p in processes.items()))
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
