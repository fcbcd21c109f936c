"""Trains with Keras 2's fit under ParameterServerStrategy: the chief coordinates. TensorFlow 2.12 to 2.15.

usage: keras2_ps.py EPOCHS
"""
import os
import sys
import time

import numpy as np
import tensorflow as tf

directory, epochs = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
if resolver.task_type in ("worker", "ps"):
    os.environ["GRPC_FAIL_FAST"] = "use_caller"
    tf.distribute.Server(resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id, protocol="grpc").join()

os.environ["GRPC_FAIL_FAST"] = "use_caller"
strategy = tf.distribute.ParameterServerStrategy(resolver)
x = np.random.default_rng(1).normal(size=(512, 4)).astype("float32")
y = (x @ [1, -2, 3, -1] > 0).astype("float32")


class Report(tf.keras.callbacks.Callback):
    begun = False

    def on_epoch_begin(self, epoch, logs=None):
        if not self.begun:
            print(f"begins with epoch {epoch + 1}", flush=True)
        self.begun = True

    def on_epoch_end(self, epoch, logs=None):
        print(f"step {epoch + 1}/{epochs}", flush=True)
        time.sleep(0.3)


with strategy.scope():
    model = tf.keras.Sequential([tf.keras.layers.Dense(8, "relu", input_shape=[4]), tf.keras.layers.Dense(1, "sigmoid")])
    model.compile(tf.keras.optimizers.Adam(0.02), "binary_crossentropy", ["accuracy"], steps_per_execution=4)


def batches(context):
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(512).repeat().batch(32)


model.fit(
    tf.keras.utils.experimental.DatasetCreator(batches),
    steps_per_epoch=16,
    epochs=epochs,
    verbose=0,
    callbacks=[
        tf.keras.callbacks.BackupAndRestore(directory + "/backup"),
        tf.keras.callbacks.ModelCheckpoint(directory + "/model-{epoch:02d}", save_weights_only=True),
        Report(),
    ],
)
scores = model.evaluate(tf.keras.utils.experimental.DatasetCreator(batches), steps=16, verbose=0, return_dict=True)
print(f"RESULT TensorFlow {tf.__version__} epochs {epochs} accuracy {scores['accuracy']:.3f}", flush=True)
