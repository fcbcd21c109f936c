"""TensorFlowOnSpark's test_pipeline, case by case, and what it does not ask."""

import argparse
import json
import os
import shutil
import sys

import harness
from harness import SparkTest

from tfos.compat import TFCluster, dfutil, pipeline
from tfos.compat.pipeline import Namespace, TFEstimator, TFModel, TFParams

WEIGHTS = [3.14, 1.618]


def linear(directory, weights=(3.14, 1.618), name="x"):
    """Write a SavedModel of y = x·w, whose input is called name."""
    import tensorflow as tf

    class Linear(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable([[w] for w in weights])

        @tf.function
        def __call__(self, x):
            return {"y": tf.matmul(x, self.w)}

    model = Linear()
    spec = tf.TensorSpec([None, len(weights)], tf.float32, name=name)
    tf.saved_model.save(model, directory, signatures=model.__call__.get_concrete_function(spec))
    return model


def solved(directory, x, y):
    """Write the SavedModel of the weights that fit these rows best."""
    import numpy as np

    linear(directory, np.linalg.lstsq(np.array(x), np.array(y), rcond=None)[0].tolist())


def train_fed(args, ctx):
    """Fits what it is fed, and leaves beside the model what it was given."""
    assert (args.model_dir, args.tfrecord_dir, args.steps) == (None, None, 1000), args  # those that nobody set
    feed = ctx.get_data_feed(input_mapping=args.input_mapping)
    x, y = [], []
    while not feed.should_stop():
        batch = feed.next_batch(args.batch_size)
        x, y = x + batch["x"], y + batch["y"]
    solved(args.export_dir, x, y)
    with open(os.path.join(args.export_dir, "given"), "w") as f:
        f.write(f"{ctx.job_name} {args.extra} {args.batch_size} {len(y)}")


def train_records(args, ctx):
    """Fits the records that it finds."""
    import tensorflow as tf

    spec = {"features": tf.io.FixedLenFeature([2], tf.float32), "label": tf.io.FixedLenFeature([], tf.float32)}
    rows = [tf.io.parse_single_example(r, spec) for r in tf.data.TFRecordDataset(tf.io.gfile.glob(args.tfrecord_dir + "/part-*"))]
    if ctx.task_index == 0:
        solved(args.export_dir, [r["features"] for r in rows], [r["label"] for r in rows])


class PipelineTest(SparkTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for module in (harness, sys.modules[__name__]):  # the nodes have what Spark's tasks have
            cls.sc.addPyFile(module.__file__)

    def rows(self, n=200):
        """Rows of two features, which have a label by WEIGHTS."""
        x = [(float(i % 17), float(i % 13) / 3) for i in range(n)]
        rows = [(list(v), sum(a * w for a, w in zip(v, WEIGHTS)), f"row {i}") for i, v in enumerate(x)]
        return self.spark.createDataFrame(rows, "features array<double>, label double, name string").repartition(3)

    def estimator(self, train_fn=train_fed, tf_args=None, export_fn=None):
        """One that wants nothing more than fit."""
        return (TFEstimator(train_fn, tf_args or {"extra": "an argument"}, export_fn).setInputMapping({"features": "x", "label": "y"})
                .setExportDir(os.path.join(self.directory, "export")).setClusterSize(1))  # fmt: skip

    def predicts(self, model, df):
        """Assert that a model has found WEIGHTS."""
        import numpy as np

        df = df.coalesce(1).cache()
        self.addCleanup(df.unpersist)
        got = model.setInputMapping({"features": "x"}).setOutputMapping({"y": "prediction"}).transform(df)
        np.testing.assert_allclose([r.prediction[0] for r in got.collect()], [r.label for r in df.collect()], rtol=1e-4, atol=1e-4)

    def model(self, where, **more):
        return TFModel(more).setInputMapping({"features": "x"}).setOutputMapping({"y": "prediction"}).setExportDir(where)

    def test_namespace(self):
        d = {"string": "foo", "integer": 1, "float": 3.14, "array": [1, 2, 3], "map": {"a": 1, "b": 2}}
        n1 = Namespace(d)
        self.assertEqual({name: getattr(n1, name) for name in n1}, d)
        self.assertIn("string", n1)
        self.assertNotIn("extra", n1)
        n1.extra = "added"
        self.assertIn("extra", n1)
        self.assertNotIn("extra", d)

        n2 = Namespace(n1)
        self.assertEqual(n2, n1)
        n2.integer = 2
        self.assertEqual(n1.integer, 1)

        parser = argparse.ArgumentParser()
        parser.add_argument("--foo", type=int)
        self.assertEqual(Namespace(parser.parse_args(["--foo", "1"])).foo, 1)

        argv = ["--foo", "1"]
        self.assertEqual(Namespace(argv).argv, argv)
        with self.assertRaises(TypeError):
            Namespace(1)

    def test_TFParams(self):
        class Foo(TFParams, pipeline.HasBatchSize, pipeline.HasSteps, pipeline.HasEpochs):
            def __init__(self, args):
                super().__init__()
                self.args = args
                self._setDefault(batch_size=100, steps=1000, epochs=1)

        args = Namespace({"a": 1, "batch_size": 5, "steps": 7})
        foo = Foo(args).setBatchSize(10)
        merged = foo.merge_args_params()
        self.assertEqual((merged.a, merged.batch_size, merged.steps, merged.epochs), (1, 10, 7, 1))
        self.assertEqual((foo.getBatchSize(), foo.getEpochs()), (10, 1))
        self.assertEqual(args, Namespace({"a": 1, "batch_size": 5, "steps": 7}))  # as it was
        with self.assertRaises(TypeError):
            foo.setBatchSize("many")
        for stage in (TFEstimator(train_fed), TFModel()):
            self.assertEqual((stage.getInputMapping(), stage.getExportDir(), stage.getModelDir()), ({}, None, None))

    def test_spark_saved_model(self):
        """Train and export by TFEstimator, fed by Spark, and predict by the TFModel that it makes."""
        df = self.rows()
        model = self.estimator().setBatchSize(7).setEpochs(2).fit(df)
        self.assertIsInstance(model, TFModel)
        self.assertEqual((model.getBatchSize(), model.getExportDir()), (7, os.path.join(self.directory, "export")))
        with open(os.path.join(self.directory, "export", "given")) as f:
            self.assertEqual(f.read(), "worker an argument 7 400")
        self.predicts(model, df)

    def test_several_nodes_and_a_parameter_server(self):
        def count(args, ctx):
            feed = ctx.get_data_feed(input_mapping=args.input_mapping)
            n = 0
            while not feed.should_stop():
                n += len(feed.next_batch(16)["x"])
            with open(os.path.join(args.model_dir, f"{ctx.job_name}-{ctx.task_index}"), "w") as f:
                f.write(f"{n} {sorted(ctx.cluster_spec)}")

        def serve(args, ctx):
            import time

            while ctx.job_name == "ps":  # until it is stopped
                time.sleep(1)
            count(args, ctx)

        (self.estimator(serve).setClusterSize(3).setNumPS(1).setMasterNode("chief").setModelDir(self.directory).fit(self.rows()))
        fed = {}
        for name in os.listdir(self.directory):
            with open(os.path.join(self.directory, name)) as f:
                fed[name] = f.read().split(" ", 1)
        self.assertEqual(sorted(fed), ["chief-0", "worker-0"])
        self.assertEqual(sum(int(n) for n, _ in fed.values()), 200)
        self.assertEqual({roles for _, roles in fed.values()}, {"['chief', 'ps', 'worker']"})

    def test_tf_column_filter(self):
        """The nodes read the records that fit has written: of the columns in the mapping alone."""
        df = self.rows()
        where = os.path.join(self.directory, "records")
        estimator = self.estimator(train_records).setInputMode(TFCluster.InputMode.TENSORFLOW).setTFRecordDir("file://" + where).setClusterSize(2)
        self.predicts(estimator.fit(df), df)
        self.assertEqual(dfutil.loadTFRecords(self.sc, "file://" + where).columns, ["features", "label"])

    def test_records_that_were_loaded_are_not_written_again(self):
        df = self.rows()
        where = "file://" + os.path.join(self.directory, "records")
        dfutil.saveAsTFRecords(df.select("features", "label"), where)
        loaded = dfutil.loadTFRecords(self.sc, where)
        self.predicts(self.estimator(train_records).setInputMode(TFCluster.InputMode.TENSORFLOW).fit(loaded), df)

    def test_vectors_of_mllib_and_a_command_line(self):
        """In a Pipeline, behind a stage of MLlib; the words of a command line come as args, and as sys.argv."""
        from pyspark.ml import Pipeline
        from pyspark.ml.feature import VectorAssembler

        directory = os.path.join(self.directory, "export")

        def train(argv, ctx):
            assert sys.argv == argv == ["train.py", directory], (sys.argv, argv)
            feed = ctx.get_data_feed(input_mapping={"features": "x", "label": "y"})
            x, y = [], []
            while not feed.should_stop():
                batch = feed.next_batch(50)
                x, y = x + batch["x"], y + batch["y"]
            solved(argv[1], x, y)

        df = self.rows().selectExpr("features[0] a", "features[1] b", "label")
        stages = [VectorAssembler(inputCols=["a", "b"], outputCol="features"), self.estimator(train, ["train.py", directory])]
        fitted = Pipeline(stages=stages).fit(df)
        self.predicts(fitted.stages[1], fitted.stages[0].transform(df))

    def test_export_fn(self):
        """It runs once, after the training."""

        def train(args, ctx):
            feed = ctx.get_data_feed()
            rows = []
            while not feed.should_stop():
                rows += [(x.tolist(), y) for x, y in feed.next_batch(50)]
            with open(os.path.join(args.model_dir, "rows"), "w") as f:
                json.dump(rows, f)

        def export(args):
            with open(os.path.join(args.model_dir, "rows")) as f:
                solved(args.export_dir, *zip(*json.load(f)))

        df = self.rows()
        self.predicts(self.estimator(train, export_fn=export).setModelDir(self.directory).fit(df), df)

    def test_an_estimator_tells_what_is_wrong(self):
        df = self.rows(10)
        tensorflow = TFCluster.InputMode.TENSORFLOW
        for estimator, want in [
            (TFEstimator(train_fed), "wants input_mapping before fit: setInputMapping"),
            (self.estimator().setInputMapping({"pixels": "x"}), "columns that the DataFrame does not have: pixels; it has features, label, name"),
            (self.estimator().setInputMode(tensorflow), "wants tfrecord_dir before fit, .* setTFRecordDir"),
            (self.estimator().setNumPS(1), "1 nodes are too few for 1 ps and a worker"),
        ]:
            with self.subTest(want), self.assertRaisesRegex(ValueError, want):
                estimator.fit(df)

    def test_what_train_fn_raises_is_what_fit_raises(self):
        def broken(args, ctx):
            ctx.get_data_feed().next_batch(1)
            raise ValueError("no such optimizer")

        def late(args, ctx):
            feed = ctx.get_data_feed()
            while not feed.should_stop():
                feed.next_batch(10)
            raise ValueError("cannot export")

        for train, want in [(broken, "no such optimizer"), (late, "cannot export")]:
            with self.subTest(want), self.assertRaisesRegex(Exception, f"(?s)Traceback.*ValueError: {want}"):
                self.estimator(train).fit(self.rows())

    def test_a_node_that_takes_nothing_ends_fit(self):
        """Its program sleeps for an hour: fit ends the cluster, and does not wait for that."""

        def sleep(args, ctx):
            import time

            time.sleep(3600)

        with self.assertRaisesRegex(Exception, "the program has taken no rows for .*feed_timeout is 2 s"):
            self.estimator(sleep).setFeedTimeout(2).fit(self.rows(10))

    def test_transform_is_the_model_itself(self):
        """Bit-equal, each row once, in order, whatever the batches are."""
        import tensorflow as tf

        where = os.path.join(self.directory, "model")
        model = linear(where)
        rows = [([float(i), float(i) / 3],) for i in range(250)]
        df = self.spark.createDataFrame(rows, ["features"]).repartition(3).cache()  # a shuffle's order differs from one time to the next
        self.addCleanup(df.unpersist)
        parts = [[r.features for r in part] for part in df.rdd.glom().collect()]
        for size in (1, 7, 1000):
            batches = [part[i : i + size] for part in parts for i in range(0, len(part), size)]  # a product's last bit hangs on the batch's size
            want = [y for batch in batches for y in model(tf.constant(batch, tf.float32))["y"].numpy().tolist()]
            got = self.model(where).setBatchSize(size).transform(df)
            self.assertEqual(got.columns, ["prediction"])
            self.assertEqual([r.prediction for r in got.collect()], want)

    def test_one_load_in_each_process(self):
        where = os.path.join(self.directory, "model")
        linear(where)
        df = self.spark.createDataFrame([([float(i), 1.0],) for i in range(40)], ["features"]).repartition(8)
        sc = self.sc

        def models(_):
            from tfos.compat import pipeline

            return [(os.getpid(), len(pipeline._loaded))]

        before = max((n for _, n in sc.parallelize(range(8), 8).mapPartitions(models).collect()), default=0)
        self.model(where).transform(df).collect()
        self.model(where).transform(df).collect()
        self.assertLessEqual(max(n for _, n in sc.parallelize(range(8), 8).mapPartitions(models).collect()), before + 1)

    def test_a_model_that_is_exported_again_is_loaded_again(self):
        where = os.path.join(self.directory, "model")
        df = self.spark.createDataFrame([([1.0, 1.0],)], ["features"])
        for weights in [(1.0, 2.0), (3.0, 4.0)]:
            shutil.rmtree(where, ignore_errors=True)
            linear(where, weights)
            self.assertEqual(self.model(where).transform(df).head().prediction, [sum(weights)])

    def test_names_of_another_keras(self):
        where = os.path.join(self.directory, "model")
        linear(where, name="keras_tensor_7")
        df = self.spark.createDataFrame([([1.0, 2.0],)], ["col1"])
        model = TFModel().setInputMapping({"col1": "dense_input"}).setOutputMapping({"dense": "preds"}).setExportDir(where)
        self.assertEqual(len(model.transform(df).head().preds), 1)

    def test_keras_with_several_columns(self):
        import keras
        import numpy as np

        from tfos.compat import compat

        a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
        model = keras.Model({"a": a, "b": b}, {"sum": keras.layers.Dense(1)(a) + b, "twice": b * 2})
        where = os.path.join(self.directory, "model")
        compat.export_saved_model(model, where, is_chief=True)
        df = self.spark.createDataFrame([([1.0, 2.0], 3, "left out"), ([4.0, 5.0], 6, "left out")], ["z", "n", "s"])
        got = (TFModel().setInputMapping({"z": "a", "n": "b"}).setOutputMapping({"twice": "d", "sum": "c"}).setExportDir(where)
               .transform(df).collect())  # fmt: skip
        want = model({"a": np.array([[1, 2], [4, 5]], "float32"), "b": np.array([[3], [6]], "float32")})
        self.assertEqual([r.d for r in got], [[6.0], [12.0]])
        np.testing.assert_allclose([r.c for r in got], want["sum"], rtol=1e-6)

    def test_types(self):
        import tensorflow as tf
        from pyspark.sql.types import ArrayType, BooleanType, DoubleType, IntegerType, LongType, StringType

        class Many(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="n"), tf.TensorSpec([None], tf.string, name="s")])
            def __call__(self, n, s):
                return {"a_double": tf.cast(n, tf.float64) / 3, "b_text": tf.strings.join([s, s]), "c_int": tf.cast(n, tf.int32), "d_long": n + 1,
                        "e_yes": n > 1, "f_matrix": tf.tile(n[:, None, None], [1, 2, 2])}

        where = os.path.join(self.directory, "model")
        model = Many()
        tf.saved_model.save(model, where, signatures=model.__call__)
        names = ["a_double", "b_text", "c_int", "d_long", "e_yes", "f_matrix"]
        out = (TFModel().setInputMapping({"n": "n", "s": "s"}).setOutputMapping({n: n for n in names}).setExportDir(where)
               .transform(self.spark.createDataFrame([(1, "é"), (2, "b")], ["n", "s"])))  # fmt: skip
        self.assertEqual([f.dataType for f in out.schema], [DoubleType(), StringType(), IntegerType(), LongType(), BooleanType(), ArrayType(ArrayType(LongType()))])
        self.assertEqual([tuple(r) for r in out.collect()], [
            (1 / 3, "éé", 1, 2, False, [[1, 1], [1, 1]]), (2 / 3, "bb", 2, 3, True, [[2, 2], [2, 2]])])  # fmt: skip

    def test_an_empty_frame(self):
        where = os.path.join(self.directory, "model")
        linear(where)
        df = self.spark.createDataFrame([([1.0, 1.0],)], ["features"])
        self.assertEqual(self.model(where).transform(df.filter("false")).collect(), [])

    def test_what_is_wrong_is_told(self):
        where = os.path.join(self.directory, "model")
        linear(where)
        df = self.spark.createDataFrame([([1.0, 1.0],)], ["features"])
        for model, want in [
            (TFModel().setOutputMapping({"y": "p"}).setExportDir(where), r"wants input_mapping before transform: setInputMapping"),
            (TFModel().setInputMapping({"features": "x"}).setExportDir(where), "wants output_mapping"),
            (TFModel().setInputMapping({"features": "x"}).setOutputMapping({"y": "p"}), "wants export_dir"),
            (self.model(where).setInputMapping({"other": "x"}), "columns that the DataFrame does not have: other; it has features"),
            (self.model(self.directory), "is no SavedModel"),
            (self.model(where).setSignatureDefKey("predict"), "has no signature 'predict'; it has serving_default"),
            (self.model(where).setOutputMapping({"y": "p", "z": "q"}), "output_mapping names z, and the signature's outputs are y"),
        ]:
            with self.subTest(want), self.assertRaisesRegex(Exception, want):
                model.transform(df)
        three = self.spark.createDataFrame([([1.0, 1.0, 1.0],)], ["features"])
        with self.assertRaisesRegex(Exception, "cannot reshape array of size 3"):
            self.model(where).transform(three).collect()
