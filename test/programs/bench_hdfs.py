"""Measures TensorFlow's file access below a directory on HDFS against a local one.

usage: bench_hdfs.py DIRECTORY LOCAL MEGABYTES     both directories exist; data-* is left in them
"""

import os
import random
import socket
import statistics
import struct
import sys
import threading
import time

import tensorflow as tf

ROUNDS = 3
RECORD = 100 << 10  # bytes: about an image
remote, local, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])


def timed(f):
    begin = time.perf_counter()
    f()
    return time.perf_counter() - begin


def agent():
    """The agent's process, by its socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.environ["TFOS_FILES"])
        return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def agent_seconds():
    """The processor time that the agent has used."""
    with open(f"/proc/{agent()}/stat") as f:
        user, system = f.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def in_turn(what, megabytes, f):
    """Median seconds of f on both, in turn, and of processors on HDFS. A first round of each warms caches up."""
    seconds, ours, theirs = {remote: [], local: []}, [], []
    for round in range(ROUNDS + 1):
        for where, taken in seconds.items():
            us, they = time.process_time(), agent_seconds()
            t = timed(lambda: f(where))
            if round:
                taken.append(t)
            if round and where == remote:
                ours.append(time.process_time() - us)
                theirs.append(agent_seconds() - they)
    hdfs, here = (statistics.median(seconds[w]) for w in (remote, local))
    print(
        f"RESULT {what}: hdfs {hdfs:.2f} s ({megabytes / hdfs:.0f} MB/s), local {here:.2f} s ({megabytes / here:.0f} MB/s), {here / hdfs:.2f} of local;"
        f" processor time on HDFS: program {statistics.median(ours):.2f} s, agent {statistics.median(theirs):.2f} s",
        flush=True,
    )


def make_records():
    files = 4
    for i in range(files):
        with tf.io.TFRecordWriter(f"{local}/data-{i}") as w:
            for _ in range((megabytes << 20) // files // RECORD):
                w.write(os.urandom(RECORD))
    taken = timed(lambda: [tf.io.gfile.copy(f"{local}/data-{i}", f"{remote}/data-{i}", overwrite=True) for i in range(files)])
    print(f"RESULT copy to HDFS: {megabytes / taken:.0f} MB/s", flush=True)


def names(where):
    return [f"{where}/data-{i}" for i in range(4)]


def batches(where, parallel=None):
    """The records are read, held against their checksums and put into batches, as for training."""
    for batch in tf.data.TFRecordDataset(names(where), num_parallel_reads=parallel).batch(64).prefetch(2):
        assert batch.shape[0] > 0


def one_by_one(where):
    """Two functions for each record: much of it is TensorFlow's handing over from thread to thread, in which DataNodes are in the way."""
    dataset = tf.data.TFRecordDataset(names(where))
    total = dataset.map(tf.strings.length).reduce(tf.constant(0, tf.int32), lambda a, b: a + b // 1024)
    assert int(total) > 0


def contents(where):
    for name in names(where):
        assert tf.strings.length(tf.io.read_file(name)) > 0


def checkpoints():
    v = tf.Variable(tf.random.normal([25, 1000, 1000]))
    checkpoint = tf.train.Checkpoint(v=v)
    in_turn("checkpoint save", 100, lambda where: checkpoint.write(f"{where}/ckpt"))
    in_turn("checkpoint restore", 100, lambda where: checkpoint.read(f"{where}/ckpt").assert_consumed())


def random_reads(threads, seconds=5):
    """Reads of 4 KiB, as the plugin makes them: TensorFlow's Python calls read ahead by themselves."""
    counts = []

    def receive(s, n):
        b = b""
        while len(b) < n:
            b += s.recv(n - len(b))
        return b

    def call(s, op, payload):
        s.sendall(struct.pack("<IB", len(payload), op) + payload)
        while True:
            n, code = struct.unpack("<IB", receive(s, 5))
            answer = receive(s, n)
            if code not in (254, 255):
                assert code == 0, answer
                return answer

    def work():
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.environ["TFOS_FILES"])
        name = f"{remote}/data-0".encode()
        _, size = struct.unpack("<Qq", call(s, 12, struct.pack("<I", len(name)) + name))
        end, n = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            call(s, 14, struct.pack("<QQ", random.randrange(size - 4096), 4096))
            n += 1
        counts.append(n / seconds)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    print(f"RESULT random reads of 4 KiB, {threads} at once: {sum(counts):.0f}/s", flush=True)


make_records()
in_turn("TFRecords through tf.data", megabytes, batches)
in_turn("TFRecords through tf.data, 4 files at once", megabytes, lambda where: batches(where, 4))
in_turn("TFRecords through tf.data, one by one", megabytes, one_by_one)
in_turn("tf.io.read_file", megabytes, contents)
checkpoints()
random_reads(1)
random_reads(4)
