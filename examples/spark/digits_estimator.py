"""A DataFrame of Spark SQL, a TFEstimator that trains a Keras model with it, and the TFModel that comes of that.

    spark-submit --master spark://… --py-files digits.py digits_estimator.py DIR

DIR is a directory that driver and nodes share, on NFS or HDFS say, and that does not exist yet.
"""

import sys

import digits
from pyspark.sql import SparkSession

from tfos.compat.pipeline import TFEstimator


def train(args, ctx):
    """Runs in the node. args has the estimator's parameters, too."""
    import numpy as np
    import tensorflow as tf

    from tfos.compat import compat

    tf.keras.utils.set_random_seed(1)
    model = tf.keras.Sequential([
        tf.keras.Input((64,), name="x"),
        tf.keras.layers.Dense(64, activation="relu"),
        tf.keras.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(tf.keras.optimizers.Adam(args.rate), "sparse_categorical_crossentropy")
    feed = ctx.get_data_feed(input_mapping=args.input_mapping)
    while not feed.should_stop():
        batch = feed.next_batch(args.batch_size)
        if batch["x"]:
            model.train_on_batch(np.array(batch["x"]), np.array(batch["y"]))
    compat.export_saved_model(model, args.export_dir, is_chief=True)


def main(directory, epochs=20):
    spark = SparkSession.builder.appName("digits").getOrCreate()
    training, held_out = digits.split(digits.frame(spark))
    training.createOrReplaceTempView("training")
    df = spark.sql("SELECT image, label FROM training WHERE label IS NOT NULL")

    estimator = TFEstimator(train, {"rate": 0.005}).setClusterSize(1).setBatchSize(50).setEpochs(epochs)
    model = estimator.setInputMapping({"image": "x", "label": "y"}).setExportDir(directory + "/model").fit(df)

    model.setInputMapping({"image": "x"}).setOutputMapping({"output_0": "scores"})
    scores = [r.scores for r in model.transform(held_out).collect()]
    return digits.accuracy(zip([r.label for r in held_out.collect()], scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
