"""Trains with Keras 2's fit under MultiWorkerMirroredStrategy. TensorFlow 2.12 to 2.15.

usage: keras2_mirrored.py EPOCHS
"""
import os
import sys
import time

import numpy as np
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
directory, epochs = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
chief = strategy.cluster_resolver.task_id == 0
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


data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(512, seed=1).repeat().batch(64)
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
with strategy.scope():
    model = tf.keras.Sequential([tf.keras.layers.Dense(8, "relu", input_shape=[4]), tf.keras.layers.Dense(1, "sigmoid")])
    model.compile(tf.keras.optimizers.Adam(0.02), "binary_crossentropy", ["accuracy"])
callbacks = [tf.keras.callbacks.BackupAndRestore(directory + "/backup"), Report()]
history = model.fit(data.with_options(options), steps_per_epoch=8, epochs=epochs, verbose=0, callbacks=callbacks)
# All take part in saving; only the first keeps what it saved.
model.save(directory + "/model" if chief else "model")
print(f"RESULT TensorFlow {tf.__version__} epochs {epochs} accuracy {history.history['accuracy'][-1]:.3f}", flush=True)
