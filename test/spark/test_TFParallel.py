"""TensorFlowOnSpark's test_TFParallel, case by case."""

from harness import SparkTest

from tfos.compat import TFParallel


def add(args, ctx):
    import tensorflow as tf

    return int(tf.add(ctx.executor_id, args["plus"])), ctx.num_workers


class TFParallelTest(SparkTest):
    def test_basic_tf(self):
        """Single-node TensorFlow in each executor, one after the other where there is no place."""
        self.assertEqual(TFParallel.run(self.sc, add, {"plus": 1}, self.num_workers, use_barrier=False), [(1, 2), (2, 2)])

    def test_basic_tf_barrier(self):
        """All at the same time: each waits for the other."""

        def meet(args, ctx):
            from pyspark import BarrierTaskContext

            return BarrierTaskContext.get().allGather(str(ctx.executor_id)), *add(args, ctx)

        self.assertEqual(TFParallel.run(self.sc, meet, {"plus": 1}, self.num_workers, use_barrier=True), [(["0", "1"], 1, 2), (["0", "1"], 2, 2)])

    def test_basic_tf_barrier_insufficient_resources(self):
        with self.assertRaisesRegex(RuntimeError, "3 nodes are to run at the same time, and Spark has place for 2 tasks"):
            TFParallel.run(self.sc, add, {"plus": 1}, self.num_workers + 1, use_barrier=True)

    def test_more_than_there_are_places_without_a_barrier(self):
        self.assertEqual(TFParallel.run(self.sc, lambda args, ctx: ctx.task_index, None, 5, use_barrier=False), [0, 1, 2, 3, 4])

    def test_what_a_call_raises_is_what_run_raises(self):
        def broken(args, ctx):
            if ctx.executor_id == 1:
                raise ValueError("no such model")
            return 0

        for barrier in (False, True):
            with self.subTest(barrier=barrier), self.assertRaisesRegex(Exception, "ValueError: no such model"):
                TFParallel.run(self.sc, broken, {}, self.num_workers, use_barrier=barrier)

    def test_no_executors(self):
        with self.assertRaisesRegex(ValueError, "num_executors is 0"):
            TFParallel.run(self.sc, add, {}, 0)

    def test_context(self):
        def look(args, ctx):
            try:
                ctx.get_data_feed()
            except ValueError as e:
                assert "nothing feeds this node" in str(e), e
            return args, ctx.job_name, ctx.absolute_path("/a"), ctx.absolute_path("a").startswith(f"file://{ctx.working_dir}/"), ctx.cluster_spec

        self.assertEqual(TFParallel.run(self.sc, look, ["--x"], 1), [(["--x"], "worker", "file:///a", True, {})])
