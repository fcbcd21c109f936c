"""Measures how long TensorFlow takes for small files on HDFS, one after the other.

usage: bench_small_files.py DIRECTORY FILES BYTES     the directory exists; f-* is left in it
"""

import statistics
import sys
import time

import tensorflow as tf

directory, files, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def milliseconds(what, f):
    """The median, and the tenth at the top, of f for each file. A first round warms up."""
    taken = []
    for warm in (True, False):
        for i in range(files):
            begin = time.perf_counter()
            f(f"{directory}/f-{i:03}")
            if not warm:
                taken.append(1000 * (time.perf_counter() - begin))
    taken.sort()
    print(f"RESULT {what}: {sum(taken) / len(taken):.1f} ms a file, median {statistics.median(taken):.1f}, nine in ten within {taken[len(taken) * 9 // 10]:.1f}", flush=True)


content = b"x" * size
milliseconds("tf.io.write_file", lambda name: tf.io.write_file(name, content))
milliseconds("tf.io.read_file", lambda name: tf.io.read_file(name))
