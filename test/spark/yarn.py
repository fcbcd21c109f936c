"""Spark itself on a real YARN, the nodes of tfos beside it, and everything on HDFS: MASTER=yarn ./on-yarn PYTHON yarn"""

import json
import os
import re
import uuid

import harness
from harness import SparkTest
from test_examples import EXAMPLES
from test_pipeline import linear

from tfos.compat import TFParallel, dfutil
from tfos.compat.pipeline import TFModel


class OnYARN(SparkTest):
    def setUp(self):
        super().setUp()
        self.place = f"hdfs:///tmp/spark/{uuid.uuid4().hex}"


class ExamplesOnYARN(OnYARN):
    @classmethod
    def setUpClass(cls):
        """They have a Spark of their own."""

    def submit(self, name, *options):
        return harness.submit(os.path.join(EXAMPLES, name), self.place, options=["--py-files", "digits.py", *options])

    def assert_accuracy(self, printed):
        self.assertGreaterEqual(float(re.search(r"accuracy ([0-9.]+) on", printed).group(1)), 0.95)

    def test_fed(self):
        self.assert_accuracy(self.submit("digits_fed.py"))

    def test_read(self):
        self.assert_accuracy(self.submit("digits_read.py"))

    def test_estimator(self):
        self.assert_accuracy(self.submit("digits_estimator.py"))

    def test_the_driver_in_a_container_too(self):
        """Spark's cluster mode: the driver needs tfos where it runs."""
        cluster = harness.standalone()
        env = harness.environment(cluster.home, cluster.directory)
        options = ["--deploy-mode", "cluster", "--conf", "spark.yarn.maxAppAttempts=1"]
        for name in ("PYTHONPATH", "PYSPARK_PYTHON", "TFOS", "HADOOP_CONF_DIR", "SPARK_LOCAL_IP"):
            options += ["--conf", f"spark.yarn.appMasterEnv.{name}={env[name]}"]
        self.submit("digits_fed.py", *options)

        sc = harness.session().sparkContext
        rows = [json.loads(line) for line in sc.textFile(self.place + "/predictions").collect()]
        right = sum(scores.index(max(scores)) == label for label, scores in rows)
        self.assertGreaterEqual(right / len(rows), 0.95)


class HDFSTest(OnYARN):
    """What tfos.compat reads and writes through Spark's filesystems, from executors in containers."""

    def setUp(self):
        super().setUp()
        self.sc.addPyFile(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_pipeline.py"))

    def test_records(self):
        df = self.spark.createDataFrame([(i, [i / 2, 1.0], f"row {i}") for i in range(1000)], ["n", "v", "s"]).repartition(4)
        dfutil.saveAsTFRecords(df, self.place)
        got = dfutil.loadTFRecords(self.sc, self.place)
        self.assertEqual(got.rdd.getNumPartitions(), 4)
        self.assertEqual(got.columns, ["n", "s", "v"])
        self.assertEqual(sorted(map(tuple, got.select(df.columns).collect())), sorted(map(tuple, df.collect())))
        with self.assertRaisesRegex(Exception, "already exists"):
            dfutil.saveAsTFRecords(df, self.place)

    def test_a_model_that_executors_need_not_reach(self):
        here = os.path.join(self.directory, "model")
        linear(here, (1.0, 2.0))
        jvm = self.sc._jvm.org.apache.hadoop.fs
        where = jvm.Path(self.place)
        where.getFileSystem(self.sc._jsc.hadoopConfiguration()).copyFromLocalFile(jvm.Path(here), where)
        df = self.spark.createDataFrame([([3.0, 4.0],)], ["features"])
        model = TFModel().setInputMapping({"features": "x"}).setOutputMapping({"y": "p"}).setExportDir(where.toString())
        self.assertEqual([r.p for r in model.transform(df).collect()], [[11.0]])

    def test_parallel(self):
        def look(args, ctx):
            return ctx.absolute_path("/a").startswith("hdfs://"), os.environ["CONTAINER_ID"]

        found = TFParallel.run(self.sc, look, None, harness.WORKERS)
        self.assertEqual([hdfs for hdfs, _ in found], [True] * harness.WORKERS)
        self.assertEqual(len({container for _, container in found}), harness.WORKERS)
