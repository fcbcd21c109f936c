"""Digits with InputMode.TENSORFLOW: Spark writes TFRecord files, two workers read them and train together.

    spark-submit --master spark://… --py-files digits.py digits_read.py DIR

DIR is a directory that all nodes share, on NFS or HDFS say, and that does not exist yet.
"""

import sys

import digits
from pyspark.sql import SparkSession

from tfos.compat import TFCluster, dfutil
from tfos.compat.pipeline import TFModel


def train(args, ctx):
    """Runs in each node, which finds the others in TF_CONFIG."""
    import tensorflow as tf

    def parse(records):
        found = tf.io.parse_example(records, {"image": tf.io.FixedLenFeature([64], tf.float32), "label": tf.io.FixedLenFeature([], tf.int64)})
        return found["image"], found["label"]

    def batches(context):
        files = sorted(tf.io.gfile.glob(args["records"] + "/part-*"))
        ds = tf.data.TFRecordDataset(files).shard(context.num_input_pipelines, context.input_pipeline_id).cache()
        return ds.shuffle(1000, seed=1).repeat().batch(args["batch"]).map(parse)

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = tf.Module()
        model.w1 = tf.Variable(tf.random.stateless_normal([64, 64], [1, 2], stddev=0.1))
        model.b1 = tf.Variable(tf.zeros([64]))
        model.w2 = tf.Variable(tf.random.stateless_normal([64, 10], [3, 4], stddev=0.1))
        model.b2 = tf.Variable(tf.zeros([10]))

    def logits(x):
        return tf.nn.relu(x @ model.w1 + model.b1) @ model.w2 + model.b2

    @tf.function
    def step(x, y):
        def one(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits(x)))
            grads = tape.gradient(loss, model.trainable_variables)
            together = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, grads)
            for v, g in zip(model.trainable_variables, together):
                v.assign_sub(args["rate"] * g)

        strategy.run(one, (x, y))

    data = iter(strategy.distribute_datasets_from_function(batches))
    for _ in range(args["steps"]):
        step(*next(data))

    @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, name="x")])
    def serve(x):
        return {"scores": tf.nn.softmax(logits(x))}

    if ctx.task_index == 0:
        model.serve = serve
        tf.saved_model.save(model, args["model"], signatures=serve)

    @tf.function
    def meet():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: tf.constant(1.0)), axis=None)

    meet()  # nobody leaves before the model is written: the first to go ends the others


def main(directory, steps=600):
    spark = SparkSession.builder.appName("digits").getOrCreate()
    training, held_out = digits.split(digits.frame(spark))
    args = {"records": directory + "/records", "model": directory + "/model", "batch": 32, "rate": 0.3, "steps": steps}
    dfutil.saveAsTFRecords(training.select("image", "label"), args["records"])

    cluster = TFCluster.run(spark.sparkContext, train, args, num_executors=2, num_ps=0, input_mode=TFCluster.InputMode.TENSORFLOW)
    cluster.shutdown()

    model = TFModel().setExportDir(args["model"]).setInputMapping({"image": "x"}).setOutputMapping({"scores": "scores"})
    scores = [r.scores for r in model.transform(held_out).collect()]
    return digits.accuracy(zip([r.label for r in held_out.collect()], scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
