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


def in_turn(what, megabytes, f):
    """Median seconds of f on both, in turn. A first round of each warms caches up."""
    seconds = {remote: [], local: []}
    for round in range(ROUNDS + 1):
        for where, taken in seconds.items():
            t = timed(lambda: f(where))
            if round:
                taken.append(t)
    hdfs, here = (statistics.median(seconds[w]) for w in (remote, local))
    print(f"RESULT {what}: hdfs {hdfs:.2f} s ({megabytes / hdfs:.0f} MB/s), local {here:.2f} s ({megabytes / here:.0f} MB/s), {here / hdfs:.2f} of local", flush=True)


def make_records():
    files = 4
    for i in range(files):
        with tf.io.TFRecordWriter(f"{local}/data-{i}") as w:
            for _ in range((megabytes << 20) // files // RECORD):
                w.write(os.urandom(RECORD))
    taken = timed(lambda: [tf.io.gfile.copy(f"{local}/data-{i}", f"{remote}/data-{i}", overwrite=True) for i in range(files)])
    print(f"RESULT copy to HDFS: {megabytes / taken:.0f} MB/s", flush=True)


def records(where):
    files = [f"{where}/data-{i}" for i in range(4)]
    total = tf.data.TFRecordDataset(files).map(tf.strings.length).reduce(tf.constant(0, tf.int32), lambda a, b: a + b // 1024)
    assert int(total) > 0


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
in_turn("TFRecords through tf.data", megabytes, records)
checkpoints()
random_reads(1)
random_reads(4)
