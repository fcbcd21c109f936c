"""How many rows a second reach next_batch, and how long a cluster takes to start and to end: beside TensorFlowOnSpark, in one run.

bench_feeding.py ORIGINAL [KIND...] runs it; ORIGINAL is a directory with the package tensorflowonspark. Rows are 785 Python floats, the same as
arrays of NumPy, the same as a column of a DataFrame, and 10 KB of bytes. Rates are of all workers together, from the first batch of a
feed to its last. Beside them is what Spark alone does: its tasks iterate over the rows, and make an array of each that is floats. That is
the bound of whatever takes rows from Spark's tasks. Rates depend on what else the machine does, the processor's time for a row much less.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

KINDS = ("floats", "arrays", "dataframe", "bytes")  # of rows; some of them may be named
PROCESSES = {"jvm": "CoarseGrainedExecutorBackend", "worker": "pyspark.daemon", "agent": "tfos-agent", "program": "tfos.compat.node"}  # by a part of their commands
WORKERS = [int(w) for w in os.environ.get("WORKERS", "1 2").split()]
BATCHES = (100, 1024)
# Rows and partitions for each worker. Spark takes a seventh of a second of processor time for any task, so partitions are as large as they
# usually are, in MB, where the rows come that fast.
ROWS = {"tfos": {"floats": 20_000, "arrays": 80_000, "dataframe": 40_000, "bytes": 50_000},
        "original": {"floats": 2_000, "arrays": 2_000, "dataframe": 2_000, "bytes": 2_000}}  # fmt: skip
PARTITIONS = 2


def node(args, ctx):
    """Takes all rows, and notes when each batch came."""
    import time

    feed = ctx.get_data_feed()
    began = os.path.join(args, f"{ctx.task_index}-began")
    with open(began, "w") as f:
        f.write(str(time.time()))
    os.rename(began, os.path.join(args, f"began-{ctx.task_index}"))  # it is there when it is whole
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


def alone(data, f):
    """Have Spark's tasks call f with their rows, those of a DataFrame as Arrow's batches."""
    if hasattr(data, "mapInArrow"):
        data.mapInArrow(lambda batches: f(batches) or iter(()), "fed long").foreach(lambda row: None)
    else:
        data.foreachPartition(f)


def seconds(f, *args):
    began = time.monotonic()
    f(*args)
    return time.monotonic() - began


def processor(root):
    """The processor time, in seconds, that each kind of process has taken that is below root, or has the variables of this Spark's:
    TensorFlowOnSpark's leave the tree."""
    mark = "SPARK_LOCAL_DIRS=" + os.environ["SPARK_LOCAL_DIRS"]
    parents, times, marked = {}, {}, set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
            with open(f"/proc/{pid}/cmdline") as f:
                command = f.read()
            with open(f"/proc/{pid}/environ", errors="replace") as f:
                if mark in f.read():
                    marked.add(int(pid))
        except OSError:
            continue  # it has ended
        kind = next((kind for kind, part in PROCESSES.items() if part in command), "rest")
        parents[int(pid)] = int(fields[1])
        times[int(pid)] = kind, sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    found = dict.fromkeys([*PROCESSES, "rest"], 0.0)
    for pid, (kind, taken) in times.items():
        above = pid
        while above not in (0, root):
            above = parents.get(above, 0)
        if above or pid in marked:
            found[kind] += taken
    return found


def each(f, rows):
    """Microseconds of each kind of process for each of so many rows, while f runs."""
    before = processor(os.getppid())
    f()
    after = processor(os.getppid())
    return {kind: round((after[kind] - before[kind]) * 1e6 / rows, 1) for kind in before}


def measure(implementation, workers, out, kinds):
    """In a process of its own: all kinds of rows and sizes of batches through one cluster."""
    import harness

    path = os.environ["PYTHONPATH"]
    spark = harness.session({"spark.cores.max": str(workers), "spark.executor.memory": "1800m", "spark.default.parallelism": str(workers),
                             "spark.executorEnv.PYTHONPATH": path, "spark.executor.extraJavaOptions": "-XX:+UseSerialGC"})  # compiled as where Spark is at work: the tests' JVMs start fast instead
    sc = spark.sparkContext
    sc.parallelize(range(workers), workers).foreachPartition(iterate)  # the executors are there
    sc.addPyFile(os.path.abspath(__file__))
    if implementation == "tfos":
        from tfos.compat import TFCluster

        sc._conf.set("spark.tfos.memory", "1g")
    else:
        from tensorflowonspark import TFCluster

        for found in (TFCluster.__file__, sc.parallelize([0], 1).map(lambda _: __import__("tensorflowonspark").__file__).first()):
            if not found.startswith(path.split(os.pathsep)[0]):
                raise RuntimeError(f"{found} is not TensorFlowOnSpark's own")
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
    for kind in kinds:
        rows = ROWS[implementation][kind] * workers
        data = rdd(spark, kind, rows, PARTITIONS * workers)
        if implementation == "tfos":
            for name, f in [("iterate", iterate)] + [("convert", convert)] * (kind == "floats"):
                began = time.monotonic()
                found[f"{kind} {name} processor"] = each(lambda: alone(data, f), rows)
                found[f"{kind} {name}"] = rows / (time.monotonic() - began)
        fed = data.rdd if kind == "dataframe" and implementation != "tfos" else data
        for size in BATCHES:
            batch(size)
            cluster.train(fed.limit(1000) if hasattr(fed, "limit") else sc.parallelize(fed.take(100), workers), 1)  # the first batch of a size is asked for by the one before
            since = time.time()
            found[f"{kind} {size} processor"] = each(lambda: cluster.train(fed, 1), rows)
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


def main(original, kinds):
    import harness

    cluster = harness.standalone()
    results = {}
    for workers in WORKERS:
        for implementation in ("original", "tfos"):
            out = os.path.join(cluster.directory, "result.json")
            env = dict(harness.environment(cluster.home, cluster.directory), MASTER=cluster.address)
            if implementation == "original":  # before the names that tfos gives its own modules
                env["PYTHONPATH"] = original + os.pathsep + env["PYTHONPATH"]
            subprocess.run([sys.executable, "-B", os.path.abspath(__file__), "--measure", implementation, str(workers), out, *kinds], env=env, check=True, timeout=1800)
            with open(out) as f:
                results[implementation, workers] = json.load(f)
            print(implementation, workers, json.dumps(results[implementation, workers]), flush=True)
    print(f"{'':24}{'tfos':>10}{'original':>10}{'times':>8}{'Spark alone':>13}   processor, µs a row: {', '.join(PROCESSES)}")
    for workers in WORKERS:
        ours, theirs = results["tfos", workers], results["original", workers]
        print(f"{workers} worker(s)")
        for name, rate in ours["rates"].items():
            other, kind = theirs["rates"].get(name), name.split()[0]
            alone = ours.get(f"{kind} convert", ours[f"{kind} iterate"])
            taken = ", ".join(str(ours[f"{name} processor"][p]) for p in PROCESSES) + f"; all {sum(ours[f'{name} processor'].values()):.0f}, original {sum(theirs[f'{name} processor'].values()):.0f}"
            print(f"  {name:22}{rate:10.0f}" + (f"{other:10.0f}{rate / other:8.1f}" if other else f"{'':18}") + f"{alone:13.0f}   {taken}")
        for kind in kinds:
            print(f"  {kind + ', Spark alone':56}   " + ", ".join(str(ours[f"{kind} iterate processor"][p]) for p in PROCESSES))
        for name in ("launch", "shutdown"):
            print(f"  {name + ', seconds':22}{ours[name]:10.1f}{theirs[name]:10.1f}")


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:])
    else:
        main(os.path.abspath(sys.argv[1]), sys.argv[2:] or KINDS)
