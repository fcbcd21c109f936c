"""Digits with InputMode.SPARK: Spark feeds the rows, two workers and a parameter server train, and two nodes predict.

    spark-submit --master spark://… --py-files digits.py digits_fed.py DIR

DIR is a directory that all nodes share, on NFS or HDFS say, and that does not exist yet. The training is of TensorFlow 1's kind.
"""

import json
import sys

import digits
from pyspark.sql import SparkSession

from tfos.compat import TFCluster


def train(args, ctx):
    """Runs in each node."""
    import time

    import tensorflow.compat.v1 as tf

    tf.disable_eager_execution()
    cluster, server = ctx.start_cluster_server()
    if ctx.job_name == "ps":
        server.join()  # until it is stopped

    with tf.device(tf.train.replica_device_setter(worker_device=f"/job:worker/task:{ctx.task_index}", cluster=cluster)):
        x = tf.placeholder(tf.float32, [None, 64], name="x")
        y = tf.placeholder(tf.int64, [None], name="y")
        w1 = tf.get_variable("w1", [64, 64], use_resource=True)
        b1 = tf.get_variable("b1", [64], use_resource=True, initializer=tf.zeros_initializer())
        w2 = tf.get_variable("w2", [64, 10], use_resource=True)
        b2 = tf.get_variable("b2", [10], use_resource=True, initializer=tf.zeros_initializer())
        logits = tf.nn.relu(x @ w1 + b1) @ w2 + b2
        loss = tf.losses.sparse_softmax_cross_entropy(y, logits)
        step = tf.train.AdamOptimizer(0.005).minimize(loss)
        scores = tf.nn.softmax(logits)
        missing, initialize = tf.report_uninitialized_variables(), tf.global_variables_initializer()

    with tf.Session(server.target) as sess:
        while sess.run(missing).size:  # the first worker makes them, unless it came back and they are there
            sess.run(initialize) if ctx.task_index == 0 else time.sleep(0.2)

        feed = ctx.get_data_feed(input_mapping={"image": "x", "label": "y"})
        while not feed.should_stop():
            batch = feed.next_batch(args["batch"])
            if batch["x"]:
                sess.run(step, {x: batch["x"], y: batch["y"]})

        if ctx.task_index == 0:
            signature = {"inputs": {"x": x}, "outputs": {"scores": scores}}
            ctx.export_saved_model(sess, args["model"], "serve", {"serving_default": signature})


def predict(args, ctx):
    """Runs in each node: answers each row with its label and scores."""
    import tensorflow as tf

    run = tf.saved_model.load(args["model"]).signatures["serving_default"]
    feed = ctx.get_data_feed(train_mode=False)
    while not feed.should_stop():
        rows = feed.next_batch(args["batch"])
        if rows:
            scores = run(x=tf.constant([image for _, image in rows], tf.float32))["scores"].numpy().tolist()
            feed.batch_results(list(zip([label for label, _ in rows], scores)))


def main(directory, epochs=20):
    spark = SparkSession.builder.appName("digits").getOrCreate()
    sc = spark.sparkContext
    training, held_out = digits.split(digits.frame(spark))
    args = {"model": directory + "/model", "batch": 50}

    cluster = TFCluster.run(sc, train, args, num_executors=3, num_ps=1, input_mode=TFCluster.InputMode.SPARK)
    cluster.train(training.select("image", "label"), epochs)
    cluster.shutdown()

    cluster = TFCluster.run(sc, predict, args, num_executors=2, num_ps=0, input_mode=TFCluster.InputMode.SPARK)
    cluster.inference(held_out.rdd.map(lambda row: (row.label, row.image))).map(json.dumps).saveAsTextFile(directory + "/predictions")
    cluster.shutdown()
    return digits.accuracy(map(json.loads, sc.textFile(directory + "/predictions").collect()))


if __name__ == "__main__":
    main(*sys.argv[1:])
