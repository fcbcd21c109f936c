"""Nodes inside of Spark's executors: what only those have. The other tests run with them, too, by LAUNCHER=executors."""

import glob
import json
import os
import re
import signal
import sys
import time

import harness
from harness import SparkTest
from test_failures_while_feeding import left_of, once

from tfos.compat import TFCluster

_PATIENCE = 120  # seconds for what must end by itself
_MASTER_KIB = 30 << 10  # of memory that the master may have


def executor_pids(application):
    """The JVMs of an application's executors."""
    found = []
    for name in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(name, "rb") as f:
                command = f.read()
        except OSError:
            continue  # it has ended
        if b"CoarseGrainedExecutorBackend" in command and application.encode() in command:
            found.append(int(name.split("/")[2]))
    return found


def executor_of(pid):
    """The executor that a process is in: its JVM, of which everything of a node is a descendant."""
    while pid > 1:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            if b"CoarseGrainedExecutorBackend" in f.read():
                return pid
        with open(f"/proc/{pid}/stat") as f:
            pid = int(f.read().rpartition(")")[2].split()[1])
    raise AssertionError("the process is in no executor")


def note(directory, ctx):
    """Writes down that this incarnation runs, what it knows of the cluster, and in which executor it is."""
    name = os.path.join(directory, f"{ctx.job_name}-{ctx.task_index}-{os.environ['TFOS_INCARNATION']}")
    with open(name + ".new", "w") as f:
        json.dump({"cluster": ctx.cluster_spec, "executor": executor_of(os.getpid())}, f)
    os.rename(name + ".new", name)


def wait_for(path):
    until = time.monotonic() + _PATIENCE
    while not os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.1)
    if not os.path.exists(path):
        raise TimeoutError(path)


class Executors(SparkTest):
    conf = {"spark.task.maxFailures": "4", "spark.tfos.launcher": "executors"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for module in (harness, sys.modules["test_failures_while_feeding"], sys.modules[__name__]):
            cls.sc.addPyFile(module.__file__)

    def run_cluster(self, map_fun, num_executors=2, **more):
        more.setdefault("input_mode", TFCluster.InputMode.TENSORFLOW)
        cluster = TFCluster.run(self.sc, map_fun, self.directory, num_executors, 0, **more)
        self.addCleanup(lambda: self.assertEqual(self.what_is_left(cluster._session.application), []))
        return cluster

    def what_is_left(self, application):
        until = time.monotonic() + _PATIENCE
        while left_of(application) and time.monotonic() < until:
            time.sleep(0.2)
        return left_of(application)

    def noted(self):
        found = {}
        for name in os.listdir(self.directory):
            if name.startswith("worker-") and not name.endswith(".new"):
                with open(os.path.join(self.directory, name)) as f:
                    found[name] = json.load(f)
        return found

    def test_two_workers_train_digits(self):
        def train(directory, ctx):
            import runpy

            sys.argv = ["train_mirrored.py", "--steps", "200", "--checkpoint-dir", directory]
            runpy.run_path("train_mirrored.py", run_name="__main__")

        examples = os.path.join(harness.REPOSITORY, "examples", "digits")
        self.sc.addPyFile(os.path.join(examples, "digits.py"))
        self.sc.addFile(os.path.join(examples, "train_mirrored.py"))
        cluster = self.run_cluster(train)
        masters = [most_memory(p) for p in pids_of(cluster._session.application, b"./tfos-am\0")]
        cluster.shutdown()
        self.assertTrue(os.path.exists(os.path.join(self.directory, "model", "saved_model.pb")))
        self.assertEqual(len(masters), 1)
        self.assertLess(masters[0], _MASTER_KIB)

    def test_a_node_is_in_an_executor_and_comes_back_in_another(self):
        """Spark's executor is killed: the node's next incarnation is in another one, and its peer notices nothing."""

        def node(directory, ctx):
            note(directory, ctx)
            if ctx.task_index == 1 and once(directory, "killed"):
                os.kill(executor_of(os.getpid()), signal.SIGKILL)
            wait_for(os.path.join(directory, "worker-1-2"))

        self.run_cluster(node).shutdown()
        found = self.noted()
        self.assertEqual(sorted(found), ["worker-0-1", "worker-1-1", "worker-1-2"])
        self.assertEqual({json.dumps(n["cluster"]) for n in found.values()}, {json.dumps(found["worker-0-1"]["cluster"])})
        self.assertEqual(len({n["executor"] for n in found.values()}), 3)

    def test_a_node_that_is_fed_comes_back_in_another_executor(self):
        """Its slot is held by no task of Spark."""

        def node(directory, ctx):
            feed = ctx.get_data_feed()
            with open(f"/proc/{os.getpid()}/environ", "rb") as f:
                assert b"CONTAINER_ID=container_" in f.read()
            with open(os.path.join(directory, f"{ctx.task_index}-{os.environ['TFOS_INCARNATION']}"), "w") as f:
                while not feed.should_stop():
                    for row in feed.next_batch(10):
                        f.write(f"{row}\n")
                    f.flush()

        cluster = self.run_cluster(node, input_mode=TFCluster.InputMode.SPARK)
        before = executor_pids(self.sc.applicationId)
        self.assertEqual(len(before), 2)
        cluster.train(self.sc.parallelize(range(100), 2), 1)
        os.kill(before[0], signal.SIGKILL)
        cluster.train(self.sc.parallelize(range(100, 200), 2), 1)
        cluster.shutdown()
        rows = set()
        for name in os.listdir(self.directory):
            with open(os.path.join(self.directory, name)) as f:
                rows.update(int(line) for line in f)
        self.assertEqual(rows, set(range(200)))

    def test_an_agent_that_is_killed_comes_back(self):
        def node(directory, ctx):
            note(directory, ctx)
            if ctx.task_index == 0 and once(directory, "killed"):
                for pid in pids_of(os.environ["TFOS_APPLICATION"], b"tfos-agent"):
                    with open(f"/proc/{pid}/environ", "rb") as f:
                        if f"TFOS_TASK=worker/0\0".encode() in f.read():
                            os.kill(pid, signal.SIGKILL)
                time.sleep(_PATIENCE)
            wait_for(os.path.join(directory, "worker-0-2"))

        self.run_cluster(node).shutdown()
        self.assertEqual(sorted(self.noted()), ["worker-0-1", "worker-0-2", "worker-1-1"])

    def test_an_exception_is_the_programs_own(self):
        def node(directory, ctx):
            if ctx.task_index == 1:
                raise ValueError("FAKE in an executor")
            time.sleep(_PATIENCE)

        with self.assertRaisesRegex(RuntimeError, "(?s)worker/1 failed:\nTraceback.*ValueError: FAKE in an executor") as raised:
            self.run_cluster(node).shutdown()
        host, logs = re.search(r"worker/1: the log is in Spark's executor, at ([^:]+):(.+)", str(raised.exception)).groups()
        self.assertEqual(host, "127.0.0.1")
        with open(os.path.join(logs, "stderr")) as f:
            self.assertIn("FAKE in an executor", f.read())

    def test_more_nodes_than_spark_has_place_for_is_said_at_once(self):
        with self.assertRaisesRegex(RuntimeError, "3 nodes are to run at the same time, and Spark has place for 2 tasks"):
            self.run_cluster(note, 3)

    def test_nothing_is_left_when_the_context_is_stopped(self):
        cluster = self.run_cluster(lambda directory, ctx: time.sleep(3600))
        application = cluster._session.application
        self.assertNotEqual(left_of(application), [])
        self.spark.stop()
        try:
            with self.assertRaises(Exception):
                cluster.shutdown(timeout=_PATIENCE)
            self.assertEqual(self.what_is_left(application), [])
        finally:
            type(self).setUpClass()


def pids_of(application, name):
    """The processes of a job whose command line has a name in it."""
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/environ", "rb") as e, open(f"/proc/{pid}/cmdline", "rb") as c:
                    if name in c.read() and application.encode() in e.read():
                        found.append(int(pid))
            except OSError:
                pass  # it has ended, or is another user's
    return found


def most_memory(pid):
    """The most that a process has had in memory, in KiB."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
