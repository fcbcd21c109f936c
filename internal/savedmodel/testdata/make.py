"""Writes tiny.pb by the real TensorFlow: python make.py"""

import os
import shutil
import tempfile

import tensorflow as tf


class Tiny(tf.Module):
    def __init__(self):
        self.v = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "x"), tf.TensorSpec([None], tf.string, "id"), tf.TensorSpec([None, 4], tf.int64, "n")])
    def __call__(self, x, id, n):
        return {"score": x @ self.v, "id": tf.identity(id), "sum": tf.reduce_sum(n, 1)}


with tempfile.TemporaryDirectory() as d:
    m = Tiny()
    tf.saved_model.save(m, d, signatures={"serving_default": m.__call__.get_concrete_function()})
    shutil.copy(os.path.join(d, "saved_model.pb"), os.path.join(os.path.dirname(os.path.abspath(__file__)), "tiny.pb"))
