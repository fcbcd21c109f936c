"""Trains on a chief with Keras 2, and beside it evaluates each checkpoint with SidecarEvaluator. TensorFlow 2.12 to 2.15.

usage: sidecar.py EPOCHS
"""
import json
import os
import sys
import time

import numpy as np
import tensorflow as tf

directory, epochs = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
x = np.random.default_rng(1).normal(size=(512, 4)).astype("float32")
y = (x @ [1, -2, 3, -1] > 0).astype("float32")
model = tf.keras.Sequential([tf.keras.layers.Dense(8, "relu", input_shape=[4]), tf.keras.layers.Dense(1, "sigmoid")])
model.compile(tf.keras.optimizers.Adam(0.02), "binary_crossentropy", ["accuracy"])


class Report(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print(f"step {epoch + 1}/{epochs}", flush=True)
        time.sleep(0.5)

    def on_test_end(self, logs=None):
        print(f"RESULT evaluated: accuracy {logs['accuracy']:.3f}", flush=True)


if json.loads(os.environ["TF_CONFIG"])["task"]["type"] == "evaluator":
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(64)
    tf.keras.utils.SidecarEvaluator(
        model, data, directory, max_evaluations=epochs, callbacks=[Report(), tf.keras.callbacks.TensorBoard(directory + "/logs")]
    ).start()
    print("RESULT the evaluator has seen the last checkpoint", flush=True)
else:
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    manager = tf.train.CheckpointManager(checkpoint, directory, max_to_keep=3)
    begin = 0
    if manager.restore_or_initialize():
        begin = int(manager.latest_checkpoint.rpartition("-")[2])
        print("restored", manager.latest_checkpoint, flush=True)
    for epoch in range(begin, epochs):
        model.fit(x, y, batch_size=64, initial_epoch=epoch, epochs=epoch + 1, verbose=0, callbacks=[Report()])
        if epoch % 2:
            manager.save(epoch + 1)
    print(f"RESULT TensorFlow {tf.__version__} epochs {epochs}", flush=True)
