"""TensorFlowOnSpark's test_pipeline, case by case, and what it does not ask."""

import argparse
import os
import shutil

from harness import SparkTest

from tfos.compat import pipeline
from tfos.compat.pipeline import Namespace, TFModel, TFParams


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


class PipelineTest(SparkTest):
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

    def test_spark_saved_model(self):
        """The model's half of it: bit-equal to the model itself, each row once, in order, whatever the batches are."""
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
