"""TensorFlowOnSpark's test_TFCluster, case by case, and what a feed must bear besides."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import harness
from harness import SparkTest

from tfos.compat import TFCluster

LAUNCHER = os.environ.get("LAUNCHER", "executors")  # yarn: on the cluster of HADOOP_CONF_DIR


def squares(args, ctx):
    """Answers each row of one number with its square."""
    feed = ctx.get_data_feed(train_mode=False)
    while not feed.should_stop():
        batch = feed.next_batch(batch_size=10)
        if batch:
            feed.batch_results([row[0] ** 2 for row in batch])


def count(args, ctx):
    """Writes how many rows it got, and their sum."""
    feed = ctx.get_data_feed()
    rows = total = 0
    while not feed.should_stop():
        for row in feed.next_batch(100):
            rows, total = rows + 1, total + row
    with open(os.path.join(args, f"{ctx.job_name}-{ctx.task_index}"), "w") as f:
        f.write(f"{rows} {total}")


class TFClusterTest(SparkTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for module in (harness, sys.modules[__name__]):  # nodes in containers have what Spark's tasks have
            cls.sc.addPyFile(module.__file__)

    def run_cluster(self, map_fun, args, num_executors=2, num_ps=0, **more):
        more.setdefault("input_mode", TFCluster.InputMode.SPARK)
        return TFCluster.run(self.sc, map_fun, args, num_executors, num_ps, launcher=LAUNCHER, **more)

    def counted(self):
        found = [0, 0]
        for name in os.listdir(self.directory):
            with open(os.path.join(self.directory, name)) as f:
                found = [a + int(b) for a, b in zip(found, f.read().split())]
        return found

    def test_basic_tf(self):
        """Independent nodes that read nothing."""

        def note(args, ctx):
            with open(os.path.join(args, str(ctx.executor_id)), "w") as f:
                f.write(f"{ctx.job_name}:{ctx.task_index} of {ctx.num_workers}, {sorted(ctx.cluster_spec)}")

        nodes = 2 if LAUNCHER == "executors" else 3  # there are two executors
        cluster = self.run_cluster(note, self.directory, nodes, master_node="chief", eval_node=True, input_mode=TFCluster.InputMode.TENSORFLOW)
        cluster.shutdown()
        with open(os.path.join(self.directory, "0")) as f:
            self.assertEqual(f.read(), f"chief:0 of {nodes - 1}, ['chief'" + (", 'worker']" if nodes == 3 else "]"))

    def test_inputmode_spark(self):
        """Feed 1,000 numbers, and add up their squares."""
        cluster = self.run_cluster(squares, {})
        rdd = cluster.inference(self.sc.parallelize([[x] for x in range(1000)], 10))
        self.assertEqual(rdd.collect(), [x * x for x in range(1000)])
        self.assertEqual(rdd.sum(), sum(x * x for x in range(1000)))  # evaluated again, fed again
        cluster.shutdown()

    def test_reserve_and_start(self):
        """The two steps of the first version, by its names."""
        from com.yahoo.ml.tf import TFCluster as first

        def train(argv, ctx):
            assert sys.argv == argv, (sys.argv, argv)
            count(argv[1], ctx)

        cluster = first.reserve(self.sc, 2, 0, False, first.InputMode.SPARK)
        cluster.start(train, ["train.py", self.directory])
        cluster.train(self.sc.parallelize(range(100), 4), 2)
        cluster.shutdown()
        self.assertEqual(self.counted(), [200, 2 * sum(range(100))])

    def test_train_feeds_every_row_once_an_epoch(self):
        cluster = self.run_cluster(count, self.directory)
        cluster.train(self.sc.parallelize(range(1000), 3).union(self.sc.parallelize([5000], 1)).union(self.sc.parallelize([], 1)), 2)
        cluster.shutdown()
        self.assertEqual(self.counted(), [2002, 2 * (sum(range(1000)) + 5000)])

    def test_inputmode_spark_exception(self):
        """A node raises while it is fed."""

        def broken(args, ctx):
            ctx.get_data_feed().next_batch(10)
            raise ValueError("FAKE exception during feeding")

        cluster = self.run_cluster(broken, {})
        with self.assertRaisesRegex(Exception, "(?s)Traceback.*FAKE exception during feeding"):
            cluster.inference(self.sc.parallelize([[x] for x in range(1000)], 10), feed_timeout=60).count()
        with self.assertRaisesRegex(Exception, "FAKE exception during feeding"):
            cluster.shutdown()

    def test_inputmode_spark_late_exception(self):
        """A node raises after the last batch."""

        def late(args, ctx):
            squares(args, ctx)
            raise ValueError("FAKE exception after feeding")

        cluster = self.run_cluster(late, {})
        self.assertEqual(cluster.inference(self.sc.parallelize([[x] for x in range(100)], 10)).count(), 100)
        with self.assertRaisesRegex(Exception, "FAKE exception after feeding") as raised:
            cluster.shutdown(grace_secs=5)
        if LAUNCHER != "yarn":  # the cluster that they were of is gone, the executors may be
            found = re.search(r"the log is in Spark's executor, at [^:]+:(\S+)|its logs are in (\S+)", str(raised.exception))
            logs = list(Path(found.group(1) or found.group(2)).rglob("stderr"))
            self.assertTrue(any("FAKE exception after feeding" in log.read_text() for log in logs), logs)

    def test_a_consumer_that_is_killed_comes_back_to_its_rows(self):
        def killed(args, ctx):
            feed = ctx.get_data_feed(train_mode=False)
            mark = os.path.join(args, "killed")
            while not feed.should_stop():
                batch = feed.next_batch(10)
                if not os.path.exists(mark):
                    open(mark, "w").close()
                    os.kill(os.getpid(), signal.SIGKILL)
                feed.batch_results([row * 2 for row in batch])

        cluster = self.run_cluster(killed, self.directory, 1)
        self.assertEqual(cluster.inference(self.sc.parallelize(range(500), 2)).collect(), [2 * x for x in range(500)])
        cluster.shutdown()

    def test_terminate_drops_what_is_left(self):
        def enough(args, ctx):
            feed = ctx.get_data_feed()
            feed.next_batch(3)
            feed.terminate()

        cluster = self.run_cluster(enough, {})
        cluster.train(self.sc.parallelize(range(100000), 4), 3)
        cluster.shutdown()

    def test_a_node_that_takes_nothing_is_said_after_feed_timeout(self):
        cluster = self.run_cluster(lambda args, ctx: time.sleep(3600), {}, 1)
        with self.assertRaisesRegex(Exception, "the program has taken no rows for .*feed_timeout is 2 s"):
            cluster.train(self.sc.parallelize(range(10), 1), 1, feed_timeout=2)
        with self.assertRaisesRegex(Exception, "did not end within timeout, 1 s"):
            cluster.shutdown(timeout=1)

    def test_a_row_that_cannot_be_pickled(self):
        import threading

        cluster = self.run_cluster(squares, {}, 1)
        with self.assertRaisesRegex(Exception, "a row of type lock cannot be pickled"):
            cluster.train(self.sc.parallelize([1], 1).map(lambda x: threading.Lock()), 1)
        cluster.shutdown()

    def test_port_released(self):
        def free(args, ctx):
            assert ctx.tmp_socket is None
            ctx.start_cluster_server()

        self.run_cluster(free, {}, input_mode=TFCluster.InputMode.TENSORFLOW).shutdown()

    def test_port_unreleased(self):
        def held(args, ctx):
            assert ctx.tmp_socket is not None
            ctx.release_port()
            assert ctx.tmp_socket is None

        self.run_cluster(held, {}, input_mode=TFCluster.InputMode.TENSORFLOW, release_port=False).shutdown()

    def test_too_few_nodes(self):
        with self.assertRaisesRegex(ValueError, "1 nodes are too few for 1 ps and a worker"):
            self.run_cluster(squares, {}, 1, 1)

    def test_more_than_the_cluster_can_hold_is_said_at_once(self):
        if LAUNCHER == "executors":
            return  # Spark gives them their memory
        with self.assertRaisesRegex(RuntimeError, "(?i)memory|hold|large"):
            self.sc._conf.set("spark.tfos.memory", "900g")
            try:
                self.run_cluster(squares, {})
            finally:
                self.sc._conf.set("spark.tfos.memory", "512m")

    def test_more_nodes_than_the_cluster_can_hold_are_said_at_once(self):
        with self.assertRaisesRegex(RuntimeError, "500 nodes.*place for 2 tasks" if LAUNCHER == "executors" else "500 containers"):
            self.run_cluster(squares, {}, 500)

    def test_dataframe(self):
        def total(args, ctx):
            feed = ctx.get_data_feed(input_mapping={"a": "x", "b": "y"})
            rows = s = 0
            while not feed.should_stop():
                batch = feed.next_batch(64)
                rows, s = rows + len(batch["y"]), s + int(sum(a.sum() for a in batch["x"]) + sum(batch["y"]))
            with open(os.path.join(args, str(ctx.task_index)), "w") as f:
                f.write(f"{rows} {s}")

        df = self.spark.createDataFrame([([float(i), 1.0, 2.0], i) for i in range(300)], "a array<double>, b long")
        cluster = self.run_cluster(total, self.directory, 1)
        cluster.train(df, 2)
        cluster.shutdown()
        self.assertEqual(self.counted(), [600, 2 * sum(i + 3 + i for i in range(300))])
