"""Trains with Keras 3's fit, which goes on from BackupAndRestore's file when it is started again, and keeps each epoch's weights.

usage: keras3.py EPOCHS
"""
import os
import sys
import time

import keras
import numpy as np
import tensorflow as tf

directory, epochs = os.environ["TFOS_CHECKPOINT_DIR"], int(sys.argv[1])
x = np.random.default_rng(1).normal(size=(512, 4)).astype("float32")
y = (x @ [1, -2, 3, -1] > 0).astype("float32")


class Report(keras.callbacks.Callback):
    begun = False

    def on_epoch_begin(self, epoch, logs=None):
        if not self.begun:
            print(f"begins with epoch {epoch + 1}", flush=True)
        self.begun = True

    def on_epoch_end(self, epoch, logs=None):
        print(f"step {epoch + 1}/{epochs}", flush=True)
        time.sleep(0.3)


model = keras.Sequential([keras.Input([4]), keras.layers.Dense(8, "relu"), keras.layers.Dense(1, "sigmoid")])
model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
callbacks = [
    keras.callbacks.BackupAndRestore(directory + "/backup"),
    keras.callbacks.ModelCheckpoint(directory + "/model-{epoch:02d}.weights.h5", save_weights_only=True),
    Report(),
]
model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=callbacks)
model.save(directory + "/model.keras")
again = keras.models.load_model(directory + "/model.keras")
print(f"RESULT epochs {epochs} accuracy {again.evaluate(x, y, verbose=0)[1]:.3f}", flush=True)
model.export(directory + "/exported")
print("RESULT exported", sorted(tf.io.gfile.listdir(directory + "/exported"))[-1], flush=True)
