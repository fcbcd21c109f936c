"""Reads files of HDFS in sequence while something happens to the DataNode that they come from.

usage: read_direct.py DIRECTORY [EVENT...]      events are stop and kill; a new file is made in the directory

A process that reads in sequence reads from the DataNode itself, so the program has a connection to it: by that it finds the process, and
stops or kills it. It prints the name of each that it killed.
"""

import glob
import hashlib
import os
import re
import signal
import sys
import time
import uuid

import tensorflow as tf

MEGABYTES = 40
directory, events = sys.argv[1], sys.argv[2:]
name = f"{directory}/direct-{uuid.uuid4().hex}"


def sockets(pid):
    """The inodes of a process's sockets."""
    found = set()
    for fd in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", target):
            found.add(match[1])
    return found


def tcp():
    """(local port, remote port, state, inode) of every TCP connection over IPv4 or IPv6."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as f:
            for line in f.readlines()[1:]:
                _, local, remote, state, *_, = line.split()
                yield int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16), state, line.split()[9]


def data_node():
    """The process at the other end of this process's only TCP connection to a DataNode, and what the cluster calls it."""
    ours = sockets("self")
    ports = {remote for _, remote, state, inode in tcp() if inode in ours and state == "01"}
    listening = {inode for local, _, state, inode in tcp() if local in ports and state == "0A"}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                command = f.read()
            if "datanode.DataNode" in command and sockets(pid) & listening:
                return int(pid), re.search(r"\bdn\d+\b", command)[0]
        except OSError:
            continue
    sys.exit(f"there is no connection to a DataNode; remote ports are {ports}")


def read(event):
    digest, taken = hashlib.sha256(), 0.0
    stopped = None
    with tf.io.gfile.GFile(name, "rb") as f:
        for megabyte in range(MEGABYTES):
            begin = time.monotonic()
            digest.update(f.read(1 << 20))
            taken = max(taken, time.monotonic() - begin)
            if megabyte != 9:
                continue
            pid, node = data_node()
            if event == "stop":
                stopped = pid
                os.kill(pid, signal.SIGSTOP)
            elif event == "kill":
                os.kill(pid, signal.SIGKILL)
                print("killed", node, flush=True)
    if stopped:
        os.kill(stopped, signal.SIGCONT)
    print(f"{event}: the longest wait was {taken:.2f} s", flush=True)
    if digest.hexdigest() != want:
        sys.exit(f"{event}: other bytes were read than were written")


content = os.urandom(MEGABYTES << 20)
want = hashlib.sha256(content).hexdigest()
with tf.io.gfile.GFile(name, "wb") as f:
    f.write(content)
for event in ["nothing", *events]:
    read(event)
tf.io.gfile.remove(name)
print("all is well", flush=True)
