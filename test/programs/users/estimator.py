"""tf.estimator.train_and_evaluate with all four roles, and the exporters that go with it. TensorFlow 2.12 to 2.15.

usage: estimator.py STEPS
"""
import json
import os
import sys
import time

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
tf.get_logger().setLevel("INFO")
directory, steps = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
x = np.random.RandomState(0).rand(500, 8).astype("float32")
y = (x.sum(1) > 4).astype("int64")


def training_data():
    return tf.data.Dataset.from_tensor_slices(({"x": x}, y)).shuffle(500).repeat().batch(32)


def held_out_data():
    return tf.data.Dataset.from_tensor_slices(({"x": x}, y)).batch(100)


def serving_input():
    features = {"x": v1.placeholder(tf.float32, [None, 8])}
    return tf.estimator.export.ServingInputReceiver(features, features)


class Pace(tf.estimator.SessionRunHook):
    def after_run(self, context, values):
        time.sleep(0.03)


def model(features, labels, mode):
    weights = v1.get_variable("weights", [8, 2], initializer=v1.zeros_initializer())
    bias = v1.get_variable("bias", [2], initializer=v1.zeros_initializer())
    logits = tf.matmul(features["x"], weights) + bias
    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, predictions={"p": tf.nn.softmax(logits)})
    loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
    if mode == tf.estimator.ModeKeys.EVAL:
        accuracy = v1.metrics.accuracy(labels, tf.argmax(logits, 1))
        return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops={"accuracy": accuracy})
    train = v1.train.AdagradOptimizer(0.5).minimize(loss, v1.train.get_or_create_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train, training_hooks=[Pace()])


task = json.loads(os.environ["TF_CONFIG"])["task"]
config = tf.estimator.RunConfig(model_dir=directory, save_checkpoints_steps=100, save_summary_steps=50, log_step_count_steps=20)
exporters = [
    tf.estimator.BestExporter("best", serving_input, exports_to_keep=2),
    tf.estimator.LatestExporter("latest", serving_input),
    tf.estimator.FinalExporter("final", serving_input),
]
result = tf.estimator.train_and_evaluate(
    tf.estimator.Estimator(model, config=config),
    tf.estimator.TrainSpec(training_data, max_steps=steps),
    tf.estimator.EvalSpec(held_out_data, steps=None, exporters=exporters, start_delay_secs=1, throttle_secs=1),
)
print(f"RESULT {task['type']}/{task['index']} TensorFlow {tf.__version__} ended", flush=True)
if task["type"] == "evaluator":
    scores = tf.estimator.Estimator(model, model_dir=directory).evaluate(held_out_data)
    print(f"RESULT steps {scores['global_step']} accuracy {scores['accuracy']:.3f}", flush=True)
