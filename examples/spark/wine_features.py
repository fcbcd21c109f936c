"""MLlib's feature stages in front of a TFEstimator, in one Pipeline: kinds of wine by what chemistry says of them.

    spark-submit --master spark://… wine_features.py DIR

DIR is a directory that driver and nodes share, on NFS or HDFS say, and that does not exist yet.
"""

import sys

from pyspark.ml import Pipeline
from pyspark.ml.feature import StandardScaler, StringIndexer, VectorAssembler
from pyspark.sql import SparkSession

from tfos.compat.pipeline import TFEstimator


def wines(spark):
    """178 wines: a column for each of thirteen measures, and the kind as text."""
    from sklearn.datasets import load_wine

    found = load_wine()
    names = [n.replace("/", "_") for n in found.feature_names]
    rows = [[i, str(found.target_names[kind]), *map(float, x)] for i, (x, kind) in enumerate(zip(found.data, found.target))]
    return names, spark.createDataFrame(rows, ["id", "kind"] + names).cache()


def train(args, ctx):
    """Runs in the node: a linear model of what the stages before made."""
    import tensorflow as tf

    class Linear(tf.Module):
        def __init__(self):
            super().__init__()
            self.w, self.b = tf.Variable(tf.zeros([13, 3])), tf.Variable(tf.zeros([3]))

        @tf.function(input_signature=[tf.TensorSpec([None, 13], tf.float32, name="x")])
        def __call__(self, x):
            return {"scores": tf.nn.softmax(x @ self.w + self.b)}

    model = Linear()
    feed = ctx.get_data_feed(input_mapping=args.input_mapping)
    while not feed.should_stop():
        batch = feed.next_batch(args.batch_size)
        if not batch["x"]:
            continue
        x, y = tf.constant(batch["x"], tf.float32), tf.cast(batch["y"], tf.int64)  # MLlib's labels are doubles
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, x @ model.w + model.b))
        for v, g in zip((model.w, model.b), tape.gradient(loss, (model.w, model.b))):
            v.assign_sub(0.1 * g)
    tf.saved_model.save(model, args.export_dir, signatures=model.__call__)


def main(directory, epochs=20):
    spark = SparkSession.builder.appName("wine").getOrCreate()
    names, df = wines(spark)
    training, held_out = df.filter("id % 5 != 0"), df.filter("id % 5 = 0")

    estimator = TFEstimator(train).setInputMapping({"features": "x", "label": "y"}).setExportDir(directory + "/model")
    fitted = Pipeline(stages=[
        StringIndexer(inputCol="kind", outputCol="label"),
        VectorAssembler(inputCols=names, outputCol="raw"),
        StandardScaler(inputCol="raw", outputCol="features", withMean=True),
        estimator.setClusterSize(1).setBatchSize(16).setEpochs(epochs),
    ]).fit(training)  # fmt: skip

    *stages, model = fitted.stages
    prepared = held_out
    for stage in stages:
        prepared = stage.transform(prepared)
    model.setInputMapping({"features": "x"}).setOutputMapping({"scores": "scores"})
    scores = [r.scores for r in model.transform(prepared).collect()]
    right = [s.index(max(s)) == r.label for s, r in zip(scores, prepared.collect())]
    print(f"accuracy {sum(right) / len(right):.4f} on {len(right)} held-out rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
