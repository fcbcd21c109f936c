"""Feeds beyond TensorFlowOnSpark's: equal shares for workers that train in step, and streams."""

import json
import os
import signal
import sys

import harness
from harness import SparkTest

from tfos.compat import TFCluster

LAUNCHER = os.environ.get("LAUNCHER", "local")

_PATIENCE = 120  # seconds for what must end by itself


def note(directory, ctx, **what):
    with open(os.path.join(directory, str(ctx.task_index)), "w") as f:
        json.dump(what, f)


class FeedTest(SparkTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for module in (harness, sys.modules[__name__]):
            cls.sc.addPyFile(module.__file__)

    def run_cluster(self, map_fun, num_executors=2):
        return TFCluster.run(self.sc, map_fun, self.directory, num_executors, 0, input_mode=TFCluster.InputMode.SPARK, launcher=LAUNCHER)

    def noted(self):
        found = []
        for name in sorted(os.listdir(self.directory)):
            with open(os.path.join(self.directory, name)) as f:
                found.append(json.load(f))
        return found


class EvenFeed(FeedTest):
    def test_uneven_partitions_make_equally_many_batches_for_all(self):
        def batches(directory, ctx):
            import tfos.data

            sizes, rows = [], []
            for x, n in tfos.data.from_feed(16).as_numpy_iterator():
                sizes.append(len(n))
                rows += n.tolist()
                assert x.shape == (len(n), 3)
            note(directory, ctx, sizes=sizes, rows=rows)

        uneven = self.sc.parallelize([1000, 1, 0, 37], 4).flatMap(range).zipWithIndex().map(lambda r: ([float(r[1])] * 3, r[1]))
        cluster = self.run_cluster(batches)
        cluster.train(uneven, 2, even=True)
        cluster.shutdown()
        a, b = self.noted()
        self.assertEqual(a["sizes"], b["sizes"])
        rows = a["rows"] + b["rows"]
        self.assertGreaterEqual(len(rows), 2 * 1038 - 8)
        self.assertTrue(all(rows.count(n) <= 2 for n in set(rows)))

    def test_workers_of_a_mirrored_strategy_end_together(self):
        def train(directory, ctx):
            import tensorflow as tf
            import tfos.data

            strategy = tf.distribute.MultiWorkerMirroredStrategy()
            data = strategy.experimental_distribute_dataset(tfos.data.from_feed(8, partial=False))
            with strategy.scope():
                w = tf.Variable(tf.zeros([2, 1], tf.float64))

            @tf.function
            def step(x):
                def one(x):
                    error = tf.matmul(x, w) - tf.reduce_sum(x, axis=1, keepdims=True)
                    gradient = tf.matmul(x, error, transpose_a=True) / 8.0
                    w.assign_sub(0.1 * tf.distribute.get_replica_context().all_reduce("mean", gradient))

                strategy.run(one, args=(x,))

            steps = 0
            for x in data:
                step(x)
                steps += 1
            note(directory, ctx, steps=steps, w=w.numpy().ravel().tolist())

        cluster = self.run_cluster(train)
        rows = self.sc.parallelize([300, 3, 20], 3).flatMap(range).map(lambda i: [float(i % 2), float(i % 3)])
        cluster.train(rows, 2, even=True)
        cluster.shutdown()
        a, b = self.noted()
        self.assertEqual(a, b)
        self.assertGreaterEqual(a["steps"], 2 * 323 // 16 - 1)

    def test_workers_that_train_in_step_begin_anew_when_one_is_killed(self):
        """What from_feed is made of, without TensorFlow."""

        def steps(directory, ctx):
            from tfos import _paced

            sizes = []
            mark = directory + "-killed"
            for x in _paced.Paced("input").batches(8, True):
                sizes.append(len(x))
                if len(sizes) == 5 and ctx.task_index == 1 and not os.path.exists(mark):
                    open(mark, "w").close()
                    os.kill(os.getpid(), signal.SIGKILL)
                if len(sizes) == 5 and os.environ["TFOS_INCARNATION"] == "1":  # the other one waits for it, as in an all-reduce
                    assert _paced.Paced.peer_lost(_PATIENCE)
                    raise RuntimeError("the all-reduce is aborted")
            note(directory, ctx, sizes=sizes, incarnation=int(os.environ["TFOS_INCARNATION"]))

        self.addCleanup(lambda: os.path.exists(self.directory + "-killed") and os.remove(self.directory + "-killed"))
        cluster = self.run_cluster(steps)
        cluster.train(self.sc.parallelize([300, 3, 20], 3).flatMap(range).map(lambda i: [float(i)] * 2), 2, even=True)
        cluster.shutdown()
        a, b = self.noted()
        self.assertEqual(a, b)
        self.assertEqual(a["incarnation"], 2)
        self.assertGreater(sum(a["sizes"]), 323 - 5 * 8 - 8)  # its half, without what was done, and what was left over

    def test_rows_that_are_not_shared_evenly_are_refused(self):
        def uneven(directory, ctx):
            import tfos.data

            list(tfos.data.from_feed(8))

        cluster = self.run_cluster(uneven, 1)
        with self.assertRaisesRegex(Exception, "even=True"):
            cluster.train(self.sc.parallelize(range(10), 1), 1)
        with self.assertRaisesRegex(Exception, "even=True"):
            cluster.shutdown()


class StreamFeed(FeedTest):
    def stream(self, *batches):
        """A StreamingContext, and a DStream of these lists of rows, and empty ones after them."""
        from pyspark.streaming import StreamingContext

        ssc = StreamingContext(self.sc, 1)
        self.addCleanup(ssc.stop, False, False)
        return ssc, ssc.queueStream([self.sc.parallelize(rows, 2) for rows in batches])

    def test_a_dstream_is_fed_as_it_comes(self):
        def count(directory, ctx):
            feed, rows = ctx.get_data_feed(), []
            while not feed.should_stop() and len(rows) < 250:
                rows += feed.next_batch(10)
            feed.terminate()
            note(directory, ctx, rows=rows)

        cluster = self.run_cluster(count, 1)
        ssc, stream = self.stream(range(100), range(100, 200), range(200, 300), range(300, 400))
        cluster.train(stream)
        ssc.start()
        cluster.shutdown(ssc)  # once the node wants no more
        found = self.noted()[0]["rows"]
        self.assertEqual(sorted(found[:200]), list(range(200)))
        self.assertEqual(len(set(found)), len(found))

    def test_a_node_that_fails_ends_its_stream(self):
        def broken(directory, ctx):
            ctx.get_data_feed().next_batch(10)
            raise ValueError("FAKE exception of a stream")

        cluster = self.run_cluster(broken, 1)
        ssc, stream = self.stream(range(100))
        cluster.train(stream)
        ssc.start()
        with self.assertRaisesRegex(Exception, "(?s)Traceback.*FAKE exception of a stream"):
            cluster.shutdown(ssc)
