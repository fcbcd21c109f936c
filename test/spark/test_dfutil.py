"""TensorFlowOnSpark's test_dfutil, and what it does not ask."""

import glob
import gzip
import os

from harness import SparkTest
from pyspark.sql.types import ArrayType, BooleanType, DoubleType, IntegerType, LongType, StringType, StructField, StructType

from tfos import _tfrecord
from tfos.compat import _example, dfutil
from tfos.compat._example import FLOAT, INT64, Feature


class DFUtilTest(SparkTest):
    def test_dfutils(self):
        row = ("text string", 1, [2, 3, 4, 5], -1.1, [-2.2, -3.3, -4.4, -5.5], bytearray(b"\xff\xfe\xfd\xfc"))
        names = ["a", "b", "c", "d", "e", "f"]
        df1 = self.spark.createDataFrame(self.sc.parallelize([row]), names)
        where = os.path.join(self.directory, "tfr")
        dfutil.saveAsTFRecords(df1, where)
        self.assertTrue(os.path.isdir(where))

        df2 = dfutil.loadTFRecords(self.sc, where, binary_features=["f"])
        got = df2.take(1)[0]
        self.assertEqual(df2.columns, names)
        self.assertEqual((got.a, got.b, got.c, got.f), (row[0], row[1], row[2], row[5]))
        self.assertAlmostEqual(got.d, row[3], places=6)
        for x, y in zip(got.e, row[4]):
            self.assertAlmostEqual(x, y, places=6)

        # By identity: one that came from it, or holds the same, is another.
        self.assertFalse(dfutil.isLoadedDF(df1))
        self.assertTrue(dfutil.isLoadedDF(df2))
        self.assertFalse(dfutil.isLoadedDF(df2.filter(df2.b == 1)))
        same = df2
        self.assertTrue(dfutil.isLoadedDF(same))
        df2 = df1
        self.assertFalse(dfutil.isLoadedDF(df2))

    def test_tensorflow_reads_what_was_saved(self):
        import tensorflow as tf

        where = os.path.join(self.directory, "tfr")
        df = self.spark.createDataFrame([(i, i / 2, f"row {i}") for i in range(100)], ["n", "x", "s"]).repartition(3)
        dfutil.saveAsTFRecords(df, "file://" + where)
        files = glob.glob(where + "/part-*")
        self.assertEqual(len(files), 3)
        spec = {"n": tf.io.FixedLenFeature([], tf.int64), "x": tf.io.FixedLenFeature([], tf.float32), "s": tf.io.FixedLenFeature([], tf.string)}
        rows = sorted(
            (int(e["n"]), float(e["x"]), e["s"].numpy().decode()) for e in tf.data.TFRecordDataset(files).map(lambda r: tf.io.parse_single_example(r, spec)))
        self.assertEqual(rows, [(i, i / 2, f"row {i}") for i in range(100)])

    def test_what_tensorflow_wrote_is_read(self):
        import tensorflow as tf

        path = os.path.join(self.directory, "x.tfrecord")
        with tf.io.TFRecordWriter(path) as w:
            for i in range(10):
                feature = {"n": tf.train.Feature(int64_list=tf.train.Int64List(value=[-i])), "v": tf.train.Feature(float_list=tf.train.FloatList(value=[i, 0.5]))}
                w.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
        df = dfutil.loadTFRecords(self.sc, path)
        self.assertEqual(sorted(map(tuple, df.collect())), sorted((-i, [float(i), 0.5]) for i in range(10)))

    def test_every_type_and_nulls(self):
        schema = StructType([
            StructField("yes", BooleanType()), StructField("small", IntegerType()), StructField("exact", DoubleType()),
            StructField("words", ArrayType(StringType())), StructField("none", ArrayType(LongType())), StructField("null", LongType()),
        ])  # fmt: skip
        rows = [(True, -7, 0.25, ["a", "höhe"], [], None), (False, None, None, None, [1, 2], 3)]
        where = os.path.join(self.directory, "tfr")
        dfutil.saveAsTFRecords(self.spark.createDataFrame(rows, schema), where)
        got = dfutil.loadTFRecords(self.sc, where, schema=schema)
        self.assertEqual(got.schema, schema)
        self.assertEqual(sorted(map(tuple, got.collect()), reverse=True), rows)

    def test_vectors_of_mllib(self):
        from pyspark.ml.linalg import Vectors

        where = os.path.join(self.directory, "tfr")
        dfutil.saveAsTFRecords(self.spark.createDataFrame([(Vectors.sparse(3, [1], [2.0]),), (Vectors.dense([1, 2, 3]),)], ["v"]), where)
        got = dfutil.loadTFRecords(self.sc, where)
        self.assertEqual(sorted(r.v for r in got.collect()), [[0.0, 2.0, 0.0], [1.0, 2.0, 3.0]])

    def test_an_existing_directory_is_refused(self):
        df = self.spark.createDataFrame([(1,)], ["n"])
        with self.assertRaisesRegex(Exception, "already exists"):
            dfutil.saveAsTFRecords(df, self.directory)

    def test_a_type_without_a_place_is_told_at_once(self):
        df = self.spark.sql("SELECT map('a', 1) AS m")
        with self.assertRaisesRegex(ValueError, "column m is of type map<string,int>"):
            dfutil.saveAsTFRecords(df, os.path.join(self.directory, "tfr"))

    def test_no_record(self):
        open(os.path.join(self.directory, "empty"), "w").close()
        with self.assertRaisesRegex(ValueError, "no record to infer the columns from"):
            dfutil.loadTFRecords(self.sc, self.directory)
        schema = StructType([StructField("n", LongType())])
        self.assertEqual(dfutil.loadTFRecords(self.sc, self.directory, schema=schema).collect(), [])

    def test_damaged_files(self):
        good = [_tfrecord.frame(_example.encode({"n": Feature(INT64, [i])})) for i in range(3)]
        flipped = bytearray(good[1])
        flipped[-1] ^= 1
        schema = StructType([StructField("n", LongType())])
        for name, content, want in [
            ("flipped", good[0] + bytes(flipped), "is damaged"),
            ("cut", b"".join(good)[:-3], "cut off"),
            ("head", good[0] + good[1][:5], "cut off"),
            ("text", b"this is no file of records, but some text", "no whole record begins at byte 0"),
        ]:
            with self.subTest(name):
                path = os.path.join(self.directory, name)
                with open(path, "wb") as f:
                    f.write(content)
                with self.assertRaisesRegex(Exception, want):
                    dfutil.loadTFRecords(self.sc, path, schema=schema).collect()

    def test_compressed(self):
        path = os.path.join(self.directory, "x.gz")
        with gzip.open(path, "wb") as f:
            f.write(b"".join(_tfrecord.frame(_example.encode({"n": Feature(INT64, [i])})) for i in range(1000)))
        self.assertEqual(dfutil.loadTFRecords(self.sc, path).count(), 1000)

    def test_records_that_differ_from_the_first(self):
        def write(name, *features):
            path = os.path.join(self.directory, name)
            with open(path, "wb") as f:
                f.write(b"".join(_tfrecord.frame(_example.encode({"n": x})) for x in features))
            return path

        with self.assertRaisesRegex(Exception, "feature n has 2 values in one record"):
            dfutil.loadTFRecords(self.sc, write("more", Feature(INT64, [1]), Feature(INT64, [1, 2]))).collect()
        with self.assertRaisesRegex(Exception, "feature n has floats in one record"):
            dfutil.loadTFRecords(self.sc, write("other", Feature(INT64, [1]), Feature(FLOAT, [1.0]))).collect()

    def test_rows_of_examples(self):
        """As programs use the two halves themselves."""
        df = self.spark.createDataFrame([(1, "a")], ["n", "s"])
        records = df.rdd.mapPartitions(dfutil.toTFExample(df.dtypes))
        rows = records.mapPartitions(lambda it: dfutil.fromTFExample(it, ["s"])).collect()
        self.assertEqual((rows[0].n, rows[0].s), (1, b"a"))
