"""A TensorFlow cluster that a program of Spark starts, feeds and shuts down.

    cluster = TFCluster.run(sc, map_fun, args, num_executors, num_ps, input_mode=TFCluster.InputMode.SPARK)
    cluster.train(rdd, num_epochs)
    cluster.shutdown()

Each node calls map_fun(args, ctx); see TFNode. The nodes are tasks of a job of tfos.
"""

import atexit
import contextlib
import importlib.util
import json
import logging
import os
import pkgutil
import re
import shlex
import shutil
import sys
import tempfile
import threading
import uuid
import zipfile

from tfos import _feed, _rows
from tfos._session import JobError, Session
from tfos.compat import _executors, _slots, node

logger = logging.getLogger(__name__)

_FEEDER = "tfos-feeder.zip"  # what Spark's tasks need of these modules

# How long a job that is stopped may take to end, in seconds.
_STOPPED_WITHIN = 30

# How long Spark's tasks may take to give up their slots after the job's end, in seconds.
_LEFT = 10


class InputMode:
    """How nodes get their data."""

    TENSORFLOW = 0  # they read it themselves
    SPARK = 1  # Spark feeds it to them


class TFCluster:
    """A cluster. run makes one."""

    def __init__(self, sc, settings):
        self.sc = sc
        self.input_mode = settings["input_mode"]
        self.queues = settings["queues"]
        self._settings = settings
        self._feeds = _Feeds()
        self._session = None
        self._slots = None  # those who hold them, of nodes in Spark's executors
        self._dir = None

    def start(self, map_fun, tf_args=None):
        """Start the nodes, of a cluster that reserve made."""
        s = self._settings
        self._dir = tempfile.mkdtemp(prefix="tfos-spark-")
        atexit.register(self._leave)
        try:
            _add_package(self.sc)
            path = _write_job(self.sc, self._dir, map_fun, tf_args, s)
            if s["master"] == "executors":
                self._start_in_executors(path)
            else:
                self._session = Session(path, s["master"], _driver_host(self.sc), logger.info)
            if not self._session.wait_running(s["timeout"]):
                raise JobError(f"the {s['total']} nodes did not all run within reservation_timeout, {s['timeout']} s: does the cluster have room for them?", 4)
        except BaseException:
            self._leave()
            raise

    def _start_in_executors(self, path):
        s = self._settings
        _slots.require(self.sc, s["total"])
        conf = os.path.join(self._dir, "conf")
        os.mkdir(conf)
        _executors.write_conf(self.sc, os.path.join(conf, "hdfs-site.xml"))
        self._session = Session(path, s["master"], _driver_host(self.sc), logger.info, args=("--conf", conf))
        # A node that is fed leaves the executor's cores to those who feed it.
        held = self.input_mode == InputMode.TENSORFLOW
        self._slots = _executors.Slots(self.sc, self._session, self._session.wait_slots(), s["total"], held)
        self._slots.start()

    @property
    def cluster_info(self):
        """The nodes: a list of dicts with job_name, task_index, host and address."""
        return [{"job_name": t["role"], "task_index": t["index"], "host": t["node"], "address": t["address"]} for t in self._session.tasks]

    def train(self, dataRDD, num_epochs=0, feed_timeout=600, qname="input", even=False):
        """Feed an RDD, num_epochs times (0: ten times), a DataFrame, or a DStream as it comes.

        It returns when all rows are consumed, for a DStream at once. feed_timeout is how long, in seconds, a node that runs may take
        nothing. With even all workers get equally many rows of each partition, as tfos.data.from_feed needs it; else a partition goes
        to the worker with the fewest under way.
        """
        self._may_feed(qname)
        if num_epochs < 0:
            raise ValueError(f"num_epochs is {num_epochs}: want 0 or more")
        if _is_dstream(dataRDD):
            dataRDD.foreachRDD(lambda rdd: self._feed(rdd, feed_timeout, qname, even))
            return
        times = num_epochs or 10
        if hasattr(dataRDD, "mapInArrow"):
            self._feed_frame(dataRDD, times, feed_timeout, qname, even)
            return
        self._feed(self.sc.union([dataRDD] * times) if times > 1 else dataRDD, feed_timeout, qname, even)

    def _may_feed(self, qname):
        if self.input_mode != InputMode.SPARK:
            raise ValueError("nodes are fed with input_mode=InputMode.SPARK only")
        if qname not in self.queues:
            raise ValueError(f"there is no queue {qname!r}: the cluster was started with {self.queues}")

    def _feed(self, rdd, feed_timeout, qname, even):
        pickled = None if even else _pickled(rdd)
        with self._feeding(feed_timeout, qname, even) as feeder:
            if pickled is None:
                rdd.foreachPartition(feeder)
            else:
                pickled.foreachPartition(feeder.pickled)

    def _feed_frame(self, df, times, feed_timeout, qname, even):
        many = df
        for _ in range(times - 1):
            many = many.union(df)
        with self._feeding(feed_timeout, qname, even) as feeder, _small_batches(df.sparkSession):
            many.mapInArrow(feeder.arrow, "fed long").foreach(lambda row: None)

    @contextlib.contextmanager
    def _feeding(self, feed_timeout, qname, even):
        """What feeds an RDD meanwhile. Where a node's failure made Spark fail, it raises the node's own words."""
        number, over = self._feeds.begin()
        try:
            opening = {"queue": qname, "feed": number, "over": over, "results": False}
            workers = [f"{t['role']}/{t['index']}" for t in self._session.tasks if t["role"] not in ("ps", "evaluator")]
            yield _Feeder(self._session.ticket(), feed_timeout, opening, workers if even else ())
        except Exception as e:
            said = self._session.error(settled=True)
            if said is not None and said is not e:
                raise said from e
            raise
        finally:
            self._feeds.end(number)

    def inference(self, dataRDD, feed_timeout=600, qname="input"):
        """An RDD of one result for each row of dataRDD, in its order. Nothing is fed before it is evaluated."""
        self._may_feed(qname)
        return dataRDD.mapPartitions(_Feeder(self._session.ticket(), feed_timeout, {"queue": qname, "results": True}))

    def shutdown(self, ssc=None, grace_secs=0, timeout=259200):
        """End the feed, wait until the workers have ended, and stop the rest.

        It raises what a node failed with, also after the feed. timeout bounds it all, in seconds; then the nodes are stopped. With a
        StreamingContext it waits for that first, and stops it when the nodes want no more rows or one has failed. grace_secs is of no
        need: the workers are waited for.
        """
        try:
            if ssc is not None:
                self._await(ssc)
            if self.input_mode == InputMode.SPARK:
                self._session.end(self.queues)
            if not self._session.wait_ended(timeout):
                self._session.stop(f"not shut down within {timeout} s")
                self._session.wait_ended(_STOPPED_WITHIN)
                raise JobError(f"the workers did not end within timeout, {timeout} s, and were stopped")
            self._session.check()
        finally:
            self._leave()

    def _await(self, ssc):
        """Wait until a StreamingContext is stopped, or stop it once its rows are in vain."""
        over = lambda: self._session.terminated or self._session.ended or self._session.failed  # noqa: E731
        try:
            while not over() and not ssc.awaitTerminationOrTimeout(1):
                pass
        except Exception:  # of what it ran: a feed that failed, perhaps
            if self._session.error(settled=True) is None:
                raise
        if over():
            ssc.stop(stopSparkContext=False, stopGraceFully=self._session.error() is None)

    def tensorboard_url(self):
        """Where the TensorBoard is that run was asked for; None: it was not."""
        return self._session.tensorboard

    def _leave(self):
        """End the job if it still runs, and remove what is ours."""
        atexit.unregister(self._leave)
        if self._session is not None:
            self._session.close()
        if self._slots is not None:
            self._slots.join(_LEFT)
        if self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)


def _pickled(rdd):
    """The rows of an RDD as Spark's JVM has them, pickled, and some together. None: they are made in the task that feeds them.

    What lies in the JVM (what is cached, a union as of several epochs, a DataFrame's rdd) need not be unpickled to be fed.
    """
    from pyspark import RDD
    from pyspark.serializers import BatchedSerializer, CPickleSerializer, NoOpSerializer

    if hasattr(rdd, "_is_pipelinable") and rdd._is_pipelinable():
        return None
    had = rdd._jrdd_deserializer
    if not isinstance(had, BatchedSerializer) or type(had.serializer) is not CPickleSerializer:
        return None
    return RDD(rdd._jrdd, rdd.ctx, NoOpSerializer())


@contextlib.contextmanager
def _small_batches(spark):
    """Arrow's batches are as large as chunks meanwhile, unless someone has said how large they are to be: the default of 10,000 rows is
    four times as slow for rows of some KB."""
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    if spark.conf.get(key, "10000") != "10000":
        yield
        return
    spark.conf.set(key, str(_rows.CHUNK_ROWS))
    try:
        yield
    finally:
        spark.conf.unset(key)


class _Feeds:
    """Numbers of the feeds of a cluster. What is known of partitions is forgotten once their feed, and all before it, are over."""

    def __init__(self):
        self._lock = threading.Lock()
        self._last = 0
        self._open = set()

    def begin(self):
        """The number of a new feed, and the number before which all are over."""
        with self._lock:
            self._last += 1
            self._open.add(self._last)
            return self._last, min(self._open)

    def end(self, number):
        with self._lock:
            self._open.remove(number)


class _Feeder:
    """Feeds the partition of a task of Spark."""

    def __init__(self, ticket, timeout, opening, share=()):
        self._ticket, self._timeout, self._opening = ticket, timeout, opening
        self._share = share  # the workers that share each partition; else one of them gets it
        self._name = opening.get("feed") or uuid.uuid4().hex

    def __call__(self, rows):
        return self._run(_rows.chunks(rows), _rows.encode)

    def pickled(self, lists):
        """The same for lists of rows that are pickled already."""
        return self._run(_rows.chunks(lists), _rows.pickles)

    def arrow(self, batches):
        """The same for a DataFrame, by mapInArrow."""
        from tfos import _arrow

        return self._run(_arrow.chunks(batches), _arrow.encode)

    def _run(self, parts, encode):
        from pyspark import TaskContext

        task = TaskContext.get()
        opening = {**self._opening, "stream": f"{self._name}/{task.partitionId()}", "attempt": task.taskAttemptId()}
        if self._share:
            _feed.share(self._ticket, opening, self._timeout, parts, encode, self._share, task.partitionId())
            return iter(())
        fed = _feed.feed(self._ticket, opening, self._timeout, ((len(p), encode(p)) for p in parts))
        if opening["results"]:
            return fed
        for _ in fed:
            pass
        return iter(())


def run(
    sc,
    map_fun,
    tf_args,
    num_executors,
    num_ps,
    tensorboard=False,
    input_mode=InputMode.TENSORFLOW,
    log_dir=None,
    driver_ps_nodes=False,
    master_node=None,
    reservation_timeout=600,
    queues=["input", "output", "error"],
    eval_node=False,
    release_port=True,
    launcher=None,
):
    """Start a cluster of num_executors nodes, num_ps of them parameter servers, and return it once all nodes run.

    With master_node ("chief" or "master") one node is that, with eval_node one is an evaluator; the rest are workers. tf_args is what
    map_fun gets; a list becomes sys.argv, too. driver_ps_nodes changes nothing: parameter servers have containers of their own.
    With tensorboard the leading node runs one on log_dir, see tensorboard_url; without log_dir on tensorboard_N in its own directory,
    N being its executor_id.
    launcher says where nodes run: "yarn", the default where Spark runs on YARN; "executors", inside Spark's executors, the default
    on other clusters; or "local", on the driver's machine, the default where Spark itself is there alone.
    """
    cluster = reserve(sc, num_executors, num_ps, tensorboard, input_mode, log_dir, master_node, reservation_timeout, queues, eval_node, release_port, launcher)
    cluster.start(map_fun, tf_args)
    return cluster


def reserve(
    sc,
    num_executors,
    num_ps,
    tensorboard=False,
    input_mode=InputMode.TENSORFLOW,
    log_dir=None,
    master_node=None,
    reservation_timeout=600,
    queues=["input", "output", "error"],
    eval_node=False,
    release_port=True,
    launcher=None,
):
    """The first half of run: a cluster whose nodes start with start(map_fun, tf_args)."""
    if master_node not in (None, "chief", "master"):
        raise ValueError(f"master_node is {master_node!r}: want 'chief', 'master' or None")
    workers = num_executors - num_ps - (1 if master_node else 0) - (1 if eval_node else 0)
    if num_ps < 0 or workers < 0 or workers == 0 and not master_node:
        raise ValueError(f"{num_executors} nodes are too few for {num_ps} ps{', a ' + master_node if master_node else ''}{', an evaluator' if eval_node else ''} and a worker")
    roles = [("ps", num_ps), (master_node, 1 if master_node else 0), ("evaluator", 1 if eval_node else 0), ("worker", workers)]
    launcher = launcher or sc.getConf().get("spark.tfos.launcher") or _launcher(sc.master)
    if launcher not in ("yarn", "executors", "local"):
        raise ValueError(f"launcher is {launcher!r}: want 'yarn', 'executors' or 'local'")
    return TFCluster(sc, {
        "roles": [(name, count) for name, count in roles if count],
        "total": num_executors,
        "master": launcher,
        "input_mode": input_mode,
        "queues": list(queues),
        "timeout": reservation_timeout,
        "release_port": release_port,
        "tensorboard": tensorboard,
        "log_dir": log_dir,
    })


def _launcher(master):
    """Where nodes run that nobody said it of, by Spark's master."""
    if master.startswith("yarn"):
        return "yarn"
    return "local" if master == "local" or master.startswith("local[") else "executors"


def _driver_host(sc):
    return sc.getConf().get("spark.driver.host") or "localhost"


def _is_dstream(data):
    return any(c.__name__ == "DStream" for c in type(data).__mro__)


_packaged = set()  # applications of Spark that have the modules


def _add_package(sc):
    """Give Spark's tasks the modules that feed, once. Executors that come later fetch the file, too: it stays as long as the driver."""
    if sc.applicationId in _packaged:
        return
    _packaged.add(sc.applicationId)
    directory = tempfile.mkdtemp(prefix="tfos-spark-")
    atexit.register(shutil.rmtree, directory, True)
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    name = os.path.join(directory, _FEEDER)
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as z:
        for root, _, files in os.walk(os.path.join(here, "tfos")):
            for f in sorted(files):
                if f.endswith(".py"):
                    path = os.path.join(root, f)
                    z.write(path, os.path.relpath(path, here))
    sc.addPyFile(name)


def _write_job(sc, directory, map_fun, tf_args, s):
    """Write what the nodes get, and the job's file, whose path it returns."""
    from pyspark import SparkFiles, cloudpickle

    files = []

    def ship(path, name):
        files.append(f"{path}#{name}")

    def write(name, data):
        path = os.path.join(directory, name)
        with open(path, "wb") as f:
            f.write(data)
        ship(path, name)

    py_files = [f for f in sc._python_includes if f != _FEEDER]  # archives, which go on the nodes' path
    added = SparkFiles.getRootDirectory()  # of sc.addFile, sc.addPyFile and --py-files; modules are found where they lie
    for name in sorted(os.listdir(added)):
        if name != _FEEDER and not name.endswith(".jar"):
            ship(os.path.join(added, name), name)
    copy = os.path.join(directory, node.CLOUDPICKLE)
    _copy_cloudpickle(cloudpickle, copy)
    ship(copy, node.CLOUDPICKLE)
    write(node.FUNCTION, cloudpickle.dumps((map_fun, tf_args)))
    settings = {
        "roles": s["roles"],
        "default_fs": _default_fs(sc),
        "py_files": py_files,
        "release_port": s["release_port"],
        "retry": sc.getConf().get("spark.tfos.retry", "false").lower() == "true",
        "log_dir": s["log_dir"],
    }
    write(node.SETTINGS, json.dumps(settings).encode())
    path = os.path.join(directory, "job.yaml")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(_job(sc, s, files), f)
    return path


def _copy_cloudpickle(package, target):
    """Spark's cloudpickle under a name of ours: nodes may have no pyspark. spark-submit has pyspark in a zip: its loader knows the text."""
    os.mkdir(target)
    own = [(package.__name__, "__init__")]
    for name, module in own + [(m.name, m.name.rpartition(".")[2]) for m in pkgutil.iter_modules(package.__path__, package.__name__ + ".")]:
        text = importlib.util.find_spec(name).loader.get_source(name)
        with open(os.path.join(target, module + ".py"), "w", encoding="utf-8") as f:
            f.write(text.replace(package.__name__, node.CLOUDPICKLE))


def _job(sc, s, files):
    conf = dict(sc.getConf().getAll())

    def option(name, otherwise=None):
        return conf.get("spark.tfos." + name, otherwise)

    shape = {"vcores": int(option("vcores", conf.get("spark.executor.cores", 1)))}
    memory = option("memory", conf.get("spark.executor.memory"))
    if memory:
        shape["memory"] = _memory(memory)
    gpus = 0 if s["master"] == "executors" else int(option("gpus", conf.get("spark.executor.resource.gpu.amount", 0)))
    env = {name[len("spark.executorEnv.") :]: value for name, value in conf.items() if name.startswith("spark.executorEnv.")}
    if s["master"] == "local" and os.environ.get("PYTHONPATH"):  # what the driver finds there the nodes do, too
        env.setdefault("PYTHONPATH", os.environ["PYTHONPATH"])
    roles = {}
    for name, count in s["roles"]:
        roles[name] = {"instances": count, **shape}
        if gpus and name != "ps":
            roles[name]["gpus"] = gpus
        if name == "evaluator":
            roles[name]["service"] = True
    python = option("python") or (sys.executable if s["master"] == "local" else sc.pythonExec)
    job = {
        "name": sc.appName,
        "command": f"exec {shlex.quote(python)} -u -m tfos.compat.node",
        "files": files,
        "env": env,
        "roles": roles,
        "success": "all",
        "attended": "30s",
        "tensorboard": "program" if s["tensorboard"] else "false",
    }
    queue = option("queue", conf.get("spark.yarn.queue") if s["master"] == "yarn" else None)
    if queue:
        job["queue"] = queue
    job.update(json.loads(option("job", "{}")))  # any keys of the job file
    return job


def _memory(text):
    """Spark's 2g as the job file has it."""
    m = re.fullmatch(r"(\d+)\s*([kmgt]?)b?", text.strip().lower())
    if not m:
        raise ValueError(f"{text!r} is no amount of memory: want 2g or 2048m")
    mib = int(m.group(1)) * {"": 1, "m": 1, "g": 1 << 10, "t": 1 << 20}.get(m.group(2), 0) if m.group(2) != "k" else int(m.group(1)) >> 10
    return f"{max(1, mib)}MiB"


def _default_fs(sc):
    return sc._jsc.hadoopConfiguration().get("fs.defaultFS") or "file:///"
