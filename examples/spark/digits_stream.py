"""Digits as they come: a DStream of the lines of new files feeds a node, until the node wants no more.

    spark-submit --master spark://… --py-files digits.py digits_stream.py DIR

DIR is a directory that driver and nodes share, on NFS or HDFS say. The files are moved to DIR/in while the program runs; each line
is a label and 64 pixels, [3, [0.0, 0.25, …]].
"""

import json
import sys

import digits
from pyspark.sql import SparkSession
from pyspark.streaming import StreamingContext

from tfos.compat import TFCluster
from tfos.compat.pipeline import TFModel


def train(args, ctx):
    """Runs in the node."""
    import tensorflow as tf

    class Linear(tf.Module):
        def __init__(self):
            super().__init__()
            self.w, self.b = tf.Variable(tf.zeros([64, 10])), tf.Variable(tf.zeros([10]))

        @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, name="x")])
        def __call__(self, x):
            return {"scores": tf.nn.softmax(x @ self.w + self.b)}

    model, rows = Linear(), 0
    feed = ctx.get_data_feed(input_mapping={"image": "x", "label": "y"})
    while not feed.should_stop():
        batch = feed.next_batch(32)
        if batch["x"]:
            x, y = tf.constant(batch["x"], tf.float32), tf.constant(batch["y"], tf.int64)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, x @ model.w + model.b))
            for v, g in zip((model.w, model.b), tape.gradient(loss, (model.w, model.b))):
                v.assign_sub(0.3 * g)
        rows += len(batch["x"])
        if rows >= args["rows"]:
            feed.terminate()
    tf.saved_model.save(model, args["model"], signatures=model.__call__)


def main(directory, rows=4000):
    spark = SparkSession.builder.appName("digits").getOrCreate()
    sc = spark.sparkContext
    args = {"model": directory + "/model", "rows": rows}
    cluster = TFCluster.run(sc, train, args, num_executors=1, num_ps=0, input_mode=TFCluster.InputMode.SPARK)

    ssc = StreamingContext(sc, batchDuration=1)
    lines = ssc.textFileStream(directory + "/in")
    cluster.train(lines.map(json.loads).map(lambda row: (row[1], row[0])))
    ssc.start()
    print("the stream has started", flush=True)
    cluster.shutdown(ssc)

    held_out = digits.split(digits.frame(spark))[1]
    model = TFModel().setExportDir(args["model"]).setInputMapping({"image": "x"}).setOutputMapping({"scores": "scores"})
    scores = [r.scores for r in model.transform(held_out).collect()]
    return digits.accuracy(zip([r.label for r in held_out.collect()], scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
