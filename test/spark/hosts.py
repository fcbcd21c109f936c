"""Nodes in the executors of a Spark Standalone whose hosts share no network: ./on-hosts PYTHON hosts"""

import os
import signal
import subprocess
import sys
import uuid

import harness
from harness import SparkTest
from test_executors import executor_of, pids_of
from test_failures_while_feeding import once

from tfos._session import find_tfos
from tfos.compat import TFCluster


class HostsTest(SparkTest):
    conf = {"spark.task.maxFailures": "4"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for module in (harness, sys.modules["test_executors"], sys.modules["test_failures_while_feeding"]):
            cls.sc.addPyFile(module.__file__)

    def files(self, path):
        """Spark's filesystem of a path, and the path there."""
        p = self.sc._jvm.org.apache.hadoop.fs.Path(path)
        return p.getFileSystem(self.sc._jsc.hadoopConfiguration()), p

    def test_digits_with_checkpoints_on_hdfs(self):
        """One worker on each host. An executor is killed: the job goes on from the newest checkpoint."""

        def train(args, ctx):
            import runpy
            import threading
            import time

            import tensorflow as tf

            def lose_an_executor():
                while not tf.train.latest_checkpoint(args["checkpoints"]):
                    time.sleep(0.5)
                if once(args["here"], "killed"):
                    os.kill(executor_of(os.getpid()), signal.SIGKILL)

            if ctx.task_index == 1:
                threading.Thread(target=lose_an_executor, daemon=True).start()
            sys.argv = ["train_mirrored.py", "--steps", "200", "--checkpoint-every", "20", "--pause", "0.05", "--checkpoint-dir", args["checkpoints"], "--model-dir", args["model"]]
            runpy.run_path("train_mirrored.py", run_name="__main__")

        examples = os.path.join(harness.REPOSITORY, "examples", "digits")
        self.sc.addPyFile(os.path.join(examples, "digits.py"))
        self.sc.addFile(os.path.join(examples, "train_mirrored.py"))
        place = self.sc._jsc.hadoopConfiguration().get("fs.defaultFS") + "/tmp/" + uuid.uuid4().hex
        args = {"here": self.directory, "checkpoints": place + "/checkpoints", "model": place + "/model"}
        cluster = TFCluster.run(self.sc, train, args, 2, 0, input_mode=TFCluster.InputMode.TENSORFLOW)
        self.assertEqual(len({node["host"] for node in cluster.cluster_info}), 2)
        application = cluster._session.application
        cluster.shutdown()
        self.assertTrue(os.path.exists(os.path.join(self.directory, "killed")))
        files, model = self.files(args["model"] + "/saved_model.pb")
        self.assertTrue(files.exists(model))
        self.assertEqual(pids_of(application, b""), [])

    def test_rows_and_logs(self):
        """Rows go from a host to another, and tfos logs reads what nodes print there."""

        def square(args, ctx):
            print("node", ctx.task_index, "squares", flush=True)
            feed = ctx.get_data_feed(train_mode=False)
            while not feed.should_stop():
                feed.batch_results([x * x for x in feed.next_batch(100)])

        cluster = TFCluster.run(self.sc, square, None, 2, 0, input_mode=TFCluster.InputMode.SPARK)
        self.assertEqual(cluster.inference(self.sc.range(1000, numSlices=4)).sum(), 332833500)
        logs = subprocess.run([find_tfos(), "--master", "local", "logs", cluster._session.application], check=True, capture_output=True, text=True).stdout
        for i in range(2):
            self.assertIn(f"node {i} squares", logs)
        cluster.shutdown()
