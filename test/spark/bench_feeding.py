"""How many rows a second reach next_batch, and how long a cluster takes to start and to end: beside TensorFlowOnSpark, in one run.

bench_feeding.py ORIGINAL runs it; ORIGINAL is a directory with the package tensorflowonspark. Rows are 785 Python floats, the same as
arrays of NumPy, the same as a column of a DataFrame, and 10 KB of bytes. Rates are of all workers together, from the first batch of a
feed to its last. What Spark alone needs to iterate over the rows, and to make an array of each, is beside them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

KINDS = ("floats", "arrays", "dataframe", "bytes")
BATCHES = (100, 1024)
ROWS = {"tfos": {"floats": 40_000, "arrays": 80_000, "dataframe": 60_000, "bytes": 60_000},
        "original": {"floats": 6_000, "arrays": 6_000, "dataframe": 6_000, "bytes": 6_000}}  # fmt: skip
PARTITIONS = 4  # for each worker


def node(args, ctx):
    """Takes all rows, and notes when each batch came."""
    import time

    feed = ctx.get_data_feed()
    with open(os.path.join(args, f"began-{ctx.task_index}"), "w") as f:
        f.write(str(time.time()))
    with open(os.path.join(args, f"batches-{ctx.task_index}"), "w") as f:
        while not feed.should_stop():
            with open(os.path.join(args, "batch")) as b:
                size = int(b.read())
            n = len(feed.next_batch(size))
            f.write(f"{time.time()} {n}\n")
            f.flush()


def make(kind):
    """A function from a row's number to the row."""

    def floats(n):
        return [n + 0.5] * 785

    def arrays(n):
        import numpy as np

        return np.full(785, n + 0.5)

    def some_bytes(n):
        return bytes(10_000)

    return {"floats": floats, "arrays": arrays, "bytes": some_bytes}[kind]


def rdd(spark, kind, rows, partitions):
    """Rows that Spark holds in memory."""
    sc = spark.sparkContext
    if kind == "dataframe":
        from pyspark.sql import functions as F

        found = spark.range(0, rows, 1, partitions).select(F.array_repeat(F.col("id") + F.lit(0.5), 785).alias("x")).cache()
    else:
        found = sc.parallelize(range(rows), partitions).map(make(kind)).cache()
    found.count()
    return found


def iterate(rows):
    for _ in rows:
        pass


def convert(rows):
    import numpy as np

    for row in rows:
        np.asarray(row)


def seconds(f, *args):
    began = time.monotonic()
    f(*args)
    return time.monotonic() - began


def measure(implementation, workers, out):
    """In a process of its own: all kinds of rows and sizes of batches through one cluster."""
    import harness

    spark = harness.session({"spark.cores.max": str(workers), "spark.executor.memory": "1800m", "spark.default.parallelism": str(workers)})
    sc = spark.sparkContext
    sc.parallelize(range(workers), workers).foreachPartition(iterate)  # the executors are there
    sc.addPyFile(os.path.abspath(__file__))
    if implementation == "tfos":
        from tfos.compat import TFCluster

        sc._conf.set("spark.tfos.memory", "1g")
    else:
        from tensorflowonspark import TFCluster
    from bench_feeding import node

    directory = tempfile.mkdtemp(prefix="tfos-bench-")

    def batch(size):
        with open(os.path.join(directory, "batch.new"), "w") as f:
            f.write(str(size))
        os.rename(os.path.join(directory, "batch.new"), os.path.join(directory, "batch"))

    batch(100)
    began = time.time()
    cluster = TFCluster.run(sc, node, directory, workers, 0, input_mode=TFCluster.InputMode.SPARK)
    while sum(name.startswith("began-") for name in os.listdir(directory)) < workers:
        time.sleep(0.05)
    found = {"launch": max(float(open(os.path.join(directory, f"began-{i}")).read()) for i in range(workers)) - began, "rates": {}}
    spans = []
    for kind in KINDS:
        rows = ROWS[implementation][kind] * workers // 2
        data = rdd(spark, kind, rows, PARTITIONS * workers)
        if implementation == "tfos":
            for name, f in (("iterate", iterate), ("convert", convert)):
                found[f"{kind} {name}"] = rows / seconds((data.rdd if kind == "dataframe" else data).foreachPartition, f)
        fed = data.rdd if kind == "dataframe" and implementation != "tfos" else data
        for size in BATCHES:
            batch(size)
            cluster.train(fed.limit(1000) if hasattr(fed, "limit") else sc.parallelize(fed.take(100), workers), 1)  # the first batch of a size is asked for by the one before
            since = time.time()
            cluster.train(fed, 1)
            spans.append((kind, size, since, time.time()))
        data.unpersist()
    found["shutdown"] = seconds(cluster.shutdown)
    batches = []
    for i in range(workers):
        with open(os.path.join(directory, f"batches-{i}")) as f:
            batches += [(float(t), int(n)) for t, n in map(str.split, f)]
    for kind, size, since, until in spans:
        inside = sorted((t, n) for t, n in batches if since <= t <= until + 1 and n)
        if len(inside) > workers:
            found["rates"][f"{kind} {size}"] = sum(n for _, n in inside[workers:]) / (inside[-1][0] - inside[workers - 1][0])
    with open(out, "w") as f:
        json.dump(found, f)


def main(original):
    import harness

    cluster = harness.standalone()
    results = {}
    for workers in (1, 2):
        for implementation in ("tfos", "original"):
            out = os.path.join(cluster.directory, "result.json")
            env = dict(harness.environment(cluster.home, cluster.directory), MASTER=cluster.address)
            env["PYTHONPATH"] += os.pathsep + original
            subprocess.run([sys.executable, "-B", os.path.abspath(__file__), "--measure", implementation, str(workers), out], env=env, check=True, timeout=900)
            with open(out) as f:
                results[implementation, workers] = json.load(f)
            print(implementation, workers, json.dumps(results[implementation, workers]), flush=True)
    print(f"{'':24}{'tfos':>10}{'original':>10}{'times':>8}")
    for workers in (1, 2):
        ours, theirs = results["tfos", workers], results["original", workers]
        print(f"{workers} worker(s)")
        for kind in KINDS:
            print(f"  {kind + ', iterated':22}{ours[kind + ' iterate']:10.0f}   and made arrays {ours[kind + ' convert']:10.0f}")
        for name, rate in ours["rates"].items():
            other = theirs["rates"].get(name)
            print(f"  {name:22}{rate:10.0f}" + (f"{other:10.0f}{rate / other:8.1f}" if other else ""))
        for name in ("launch", "shutdown"):
            print(f"  {name + ', seconds':22}{ours[name]:10.1f}{theirs[name]:10.1f}")


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main(os.path.abspath(sys.argv[1]))
