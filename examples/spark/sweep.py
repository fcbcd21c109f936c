"""Handwritten digits: features by MLlib, one training in each executor, each with another learning rate, and predictions by the best.

    spark-submit --master spark://… --py-files digits.py sweep.py DIR

DIR is a directory that driver and executors share, on HDFS or NFS say, and that does not exist yet.
"""

import sys

import digits
from pyspark.ml.feature import MinMaxScaler
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession

from tfos.compat import TFParallel, compat, dfutil
from tfos.compat.pipeline import TFModel

RATES = [0.0001, 0.01]


def features(df):
    """The images as vectors, each pixel scaled to [0, 1] by what the training has of it."""
    vectors = df.withColumn("raw", array_to_vector("image"))
    return MinMaxScaler(inputCol="raw", outputCol="features").fit(vectors.filter("id % 5 != 0")).transform(vectors).select("id", "label", "features")


def train(args, ctx):
    """Runs in an executor. Returns its accuracy on what it has trained with, and where its model is."""
    import tensorflow as tf

    def parse(records):
        found = tf.io.parse_example(records, {"features": tf.io.FixedLenFeature([64], tf.float32), "label": tf.io.FixedLenFeature([], tf.int64)})
        return found["features"], found["label"]

    tf.keras.utils.set_random_seed(1)
    files = tf.io.gfile.glob(args["records"] + "/part-*")
    ds = tf.data.TFRecordDataset(files).cache().shuffle(2000, seed=1).batch(64).map(parse)
    model = tf.keras.Sequential([
        tf.keras.Input((64,), name="features"),
        tf.keras.layers.Dense(64, activation="relu"),
        tf.keras.layers.Dense(10, activation="softmax", name="scores"),
    ])  # fmt: skip
    model.compile(tf.keras.optimizers.Adam(args["rates"][ctx.executor_id]), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(ds, epochs=args["epochs"], verbose=0)
    where = f"{args['models']}/{ctx.executor_id}"
    compat.export_saved_model(model, where, is_chief=True)
    return float(history.history["accuracy"][-1]), where


def main(directory, epochs=15):
    spark = SparkSession.builder.appName("digits").getOrCreate()
    training, held_out = digits.split(features(digits.frame(spark)).cache())
    records = directory + "/records"
    dfutil.saveAsTFRecords(training.select("label", "features").coalesce(2), records)

    args = {"records": records, "models": directory + "/models", "rates": RATES, "epochs": epochs}
    results = TFParallel.run(spark.sparkContext, train, args, len(RATES))
    for rate, (accuracy, where) in zip(RATES, results):
        print(f"learning rate {rate}: accuracy {accuracy:.3f} in training, at {where}")
    best = max(results)[1]

    model = TFModel().setExportDir(best).setInputMapping({"features": "features"}).setOutputMapping({"output_0": "scores"})
    scores = [r.scores for r in model.transform(held_out).collect()]
    return digits.accuracy(zip([r.label for r in held_out.collect()], scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
