"""What happens while Spark feeds nodes, and Spark, a node or the driver fails. Each test says what was killed."""

import collections
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import harness
from harness import SparkTest

from tfos.compat import TFCluster

LAUNCHER = os.environ.get("LAUNCHER", "local")

_PATIENCE = 120  # seconds for what must end by itself


def agent_pid():
    """The process id of the agent that runs this program."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.environ["TFOS_FEED"])
        return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def once(directory, name):
    """Whether this is the first call with the name, of all processes."""
    try:
        os.close(os.open(os.path.join(directory, name), os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


def account(directory, ctx, fail=lambda: None, batch_size=50):
    """Writes each row that it is done with to a file of its own process, before it asks for more."""
    os.makedirs(os.path.join(directory, "rows"), exist_ok=True)
    feed = ctx.get_data_feed()
    with open(os.path.join(directory, "rows", f"{ctx.job_name}-{ctx.task_index}-{os.getpid()}"), "w") as f:
        while not feed.should_stop():
            batch = feed.next_batch(batch_size)
            if batch:
                fail()
            for row in batch:
                f.write(f"{row}\n")
            f.flush()


def left_of(application):
    """The command lines of processes of a job."""
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) != os.getpid():
            try:
                with open(f"/proc/{pid}/environ", "rb") as e, open(f"/proc/{pid}/cmdline", "rb") as c:
                    if application.encode() in e.read():
                        found.append(c.read().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                pass  # it has ended, or is another user's
    return found


class FailuresWhileFeeding(SparkTest):
    conf = {"spark.task.maxFailures": "4"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for module in (harness, sys.modules[__name__]):
            cls.sc.addPyFile(module.__file__)

    def run_cluster(self, map_fun, num_executors=2, args=None):
        cluster = TFCluster.run(self.sc, map_fun, self.directory if args is None else args, num_executors, 0, input_mode=TFCluster.InputMode.SPARK, launcher=LAUNCHER)
        self.addCleanup(lambda: self.assertEqual(self.wait_until_nothing_is_left(cluster._session.application), []))
        self.addCleanup(cluster._leave)  # where a test failed before its shutdown
        return cluster

    def wait_until_nothing_is_left(self, application):
        until = time.monotonic() + _PATIENCE
        while left_of(application) and time.monotonic() < until:
            time.sleep(0.2)
        return left_of(application)

    def rows(self):
        found = collections.Counter()
        where = os.path.join(self.directory, "rows")
        for name in os.listdir(where):
            with open(os.path.join(where, name)) as f:
                found.update(int(line) for line in f)
        return found

    def test_each_row_once_an_epoch_without_failures(self):
        cluster = self.run_cluster(account)
        cluster.train(self.sc.parallelize(range(3000), 5), 3)
        cluster.shutdown()
        self.assertEqual(self.rows(), {n: 3 for n in range(3000)})

    def test_each_row_once_an_epoch_though_a_consumer_is_killed(self):
        def killed(directory, ctx):
            batches = [0]

            def fail():
                batches[0] += 1
                if batches[0] == 4 and ctx.task_index == 0 and once(directory, "killed"):  # in the middle of a chunk
                    os.kill(os.getpid(), signal.SIGKILL)

            account(directory, ctx, fail)

        cluster = self.run_cluster(killed)
        cluster.train(self.sc.parallelize(range(3000), 5), 3)
        cluster.shutdown()
        self.assertTrue(os.path.exists(os.path.join(self.directory, "killed")))
        self.assertEqual(self.rows(), {n: 3 for n in range(3000)})

    def test_no_row_is_lost_though_an_agent_is_killed_and_its_container_is_lost(self):
        def killed(directory, ctx):
            batches = [0]

            def fail():
                batches[0] += 1
                if batches[0] == 3 and ctx.task_index == 0 and once(directory, "killed"):
                    os.kill(agent_pid(), signal.SIGKILL)
                    os.kill(os.getpid(), signal.SIGKILL)

            account(directory, ctx, fail)

        cluster = self.run_cluster(killed)
        cluster.train(self.sc.parallelize(range(20000), 4), 1)
        cluster.shutdown()
        self.assertTrue(os.path.exists(os.path.join(self.directory, "killed")))
        found = self.rows()
        self.assertEqual(set(found), set(range(20000)))
        self.assertLessEqual(max(found.values()), 2)

    def test_each_row_once_though_an_executor_of_spark_is_killed(self):
        directory = self.directory

        def rows(partition, items):
            for i in items:
                if partition == 1 and i % 5000 == 2500 and once(directory, "killed"):
                    with open(f"/proc/{os.getppid()}/stat") as f:  # of pyspark's daemon
                        os.kill(int(f.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
                yield i

        cluster = self.run_cluster(account)
        cluster.train(self.sc.parallelize(range(20000), 4).mapPartitionsWithIndex(rows), 1)
        cluster.shutdown()
        self.assertTrue(os.path.exists(os.path.join(self.directory, "killed")))
        self.assertEqual(self.rows(), {n: 1 for n in range(20000)})

    def test_results_are_whole_though_an_executor_of_spark_is_killed(self):
        directory = self.directory

        def rows(partition, items):
            for i in items:
                if partition == 1 and i % 500 == 250 and once(directory, "killed"):
                    with open(f"/proc/{os.getppid()}/stat") as f:
                        os.kill(int(f.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
                yield i

        def doubles(args, ctx):
            feed = ctx.get_data_feed(train_mode=False)
            while not feed.should_stop():
                feed.batch_results([2 * row for row in feed.next_batch(30)])

        cluster = self.run_cluster(doubles)
        found = cluster.inference(self.sc.parallelize(range(2000), 4).mapPartitionsWithIndex(rows))
        self.assertEqual(found.collect(), [2 * n for n in range(2000)])
        cluster.shutdown()

    def test_a_program_raises_in_the_middle(self):
        def broken(directory, ctx):
            batches = [0]

            def fail():
                batches[0] += 1
                if batches[0] == 3:
                    raise ValueError("FAKE in the middle")

            account(directory, ctx, fail)

        cluster = self.run_cluster(broken)
        with self.assertRaisesRegex(Exception, "(?s)^worker/[01] failed:\nTraceback.*ValueError: FAKE in the middle"):
            cluster.train(self.sc.parallelize(range(20000), 4), 1)
        with self.assertRaisesRegex(Exception, "FAKE in the middle"):
            cluster.shutdown()

    def test_an_error_of_the_rdd_is_raised_as_it_is(self):
        cluster = self.run_cluster(account)
        with self.assertRaisesRegex(Exception, "by zero"):
            cluster.train(self.sc.parallelize([1, 0], 1).map(lambda x: 1 // x), 1)
        cluster.train(self.sc.parallelize([7], 1), 1)
        cluster.shutdown()
        self.assertEqual(self.rows()[7], 1)

    def test_partitions_of_all_shapes(self):
        cluster = self.run_cluster(account)
        for rdd in (self.sc.emptyRDD(), self.sc.parallelize([], 3), self.sc.parallelize([0], 1), self.sc.parallelize(range(1, 8), 7),
                    self.sc.parallelize(range(8, 10), 1), self.sc.parallelize(range(10, 10010), 1).union(self.sc.parallelize([10010], 1))):  # fmt: skip
            cluster.train(rdd, 1)
        cluster.shutdown()
        self.assertEqual(self.rows(), {n: 1 for n in range(10011)})

    def test_rows_of_100_mb_and_none(self):
        def lengths(directory, ctx):
            feed = ctx.get_data_feed(train_mode=False)
            while not feed.should_stop():
                feed.batch_results([None if row is None else len(row) for row in feed.next_batch(1)])

        cluster = self.run_cluster(lengths, 1)
        rows = self.sc.parallelize([None, 100, None, 100], 2).map(lambda mb: mb and bytes(mb * 10**6))
        self.assertEqual(cluster.inference(rows).collect(), [None, 10**8, None, 10**8])
        cluster.shutdown()

    def test_a_batch_of_inference_may_be_larger_than_the_window(self):
        def all_at_once(directory, ctx):
            feed = ctx.get_data_feed(train_mode=False)
            while not feed.should_stop():
                batch = feed.next_batch(10**6)
                feed.batch_results([(len(batch), len(row)) for row in batch])

        cluster = self.run_cluster(all_at_once, 1)
        self.assertEqual(cluster.inference(self.sc.parallelize(range(60), 1).map(lambda n: bytes(10**6))).collect(), [(60, 10**6)] * 60)
        cluster.shutdown()

    def test_the_driver_is_killed(self):
        """Its nodes end, though nobody tells them to."""
        mark = os.path.join(self.directory, "fed")
        script = os.path.join(self.directory, "driver.py")
        with open(script, "w") as f:
            f.write(_DRIVER)
        self.spark.stop()  # which has the executors
        try:
            env = dict(os.environ, MASTER=os.environ.get("MASTER", harness.standalone().address), TMPDIR=self.directory)
            driver = subprocess.Popen([sys.executable, script, mark, LAUNCHER], env=env, preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL))
            until = time.monotonic() + 2 * _PATIENCE
            while not os.path.exists(mark) and driver.poll() is None and time.monotonic() < until:
                time.sleep(0.2)
            with open(mark) as f:
                application = f.read()
            self.assertNotEqual(left_of(application), [])
            driver.kill()
            driver.wait()
            self.assertEqual(self.wait_until_nothing_is_left(application), [])
        finally:
            type(self).setUpClass()


_DRIVER = """
import itertools, os, sys
from test_failures_while_feeding import harness, TFCluster
def node(mark, ctx):
    feed = ctx.get_data_feed()
    while not feed.should_stop():
        if feed.next_batch(10) and not os.path.exists(mark):
            with open(mark + ".new", "w") as f:
                f.write(os.environ["TFOS_APPLICATION"])
            os.rename(mark + ".new", mark)
sc = harness.session().sparkContext
cluster = TFCluster.run(sc, node, sys.argv[1], 2, 0, input_mode=TFCluster.InputMode.SPARK, launcher=sys.argv[2])
cluster.train(sc.parallelize([0], 1).flatMap(lambda x: itertools.count()), 1)
"""
