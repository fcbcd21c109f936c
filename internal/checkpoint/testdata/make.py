"""Writes the golden checkpoints beside this file with the TensorFlow and Keras that run it: python make.py [DIRECTORY]."""

import os
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def variables():
    """One variable of each kind that is stored in its own way."""
    return {
        "w": tf.Variable(tf.reshape(tf.range(60, dtype=tf.float32), [20, 3])),
        "half": tf.Variable(tf.cast(tf.range(5), tf.bfloat16)),
        "empty": tf.Variable(tf.zeros([0, 3])),
        "flag": tf.Variable([True, False, True]),
        "words": tf.Variable(["a", "", "three words here", "x" * 300]),
        "no_words": tf.Variable(tf.zeros([0], tf.string)),
        "word": tf.Variable("scalar"),
    }


def save_v2(directory):
    """A CheckpointManager's directory: three kept, with a tf.data iterator, whose state is a variant."""
    iterator = iter(tf.data.Dataset.range(10).shuffle(3))
    step = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(step=step, iterator=iterator, **variables())
    manager = tf.train.CheckpointManager(checkpoint, directory, max_to_keep=3)
    for _ in range(4):
        step.assign_add(100)
        next(iterator)
        manager.save()


def save_shards(directory):
    """Shards of at most 200 bytes, which cuts tensors into slices. The policy fails for empty tensors."""
    options = tf.train.CheckpointOptions(experimental_sharding_callback=tf.train.experimental.MaxShardSizePolicy(max_shard_size=200))
    kinds = variables()
    checkpoint = tf.train.Checkpoint(step=tf.Variable(5, dtype=tf.int64), w=kinds["w"], half=kinds["half"], flag=kinds["flag"])
    checkpoint.save(os.path.join(directory, "ckpt"), options=options)


def save_v1(directory, version, sharded):
    """A Saver's directory: partitioned and plain variables on two devices."""
    with tf.Graph().as_default():
        v1.train.get_or_create_global_step()
        with tf.device("CPU:0"), v1.variable_scope("part", partitioner=v1.fixed_size_partitioner(3)):
            v1.get_variable("p", [10, 4], tf.float32, v1.random_uniform_initializer(seed=1))
        with tf.device("CPU:1"):
            v1.get_variable("q", initializer=tf.constant([[1, 2], [3, 4]], tf.int32))
            if version == v1.train.SaverDef.V2:
                v1.get_variable("s", initializer=tf.constant(["some", "words"]))
        saver = v1.train.Saver(write_version=version, sharded=sharded, max_to_keep=2)
        config = v1.ConfigProto(device_count={"CPU": 2})
        with v1.Session(config=config) as session:
            session.run(v1.global_variables_initializer())
            step = v1.train.get_global_step()
            for n in range(1, 4):
                session.run(v1.assign(step, n * 10))
                saver.save(session, os.path.join(directory, "model.ckpt"), global_step=n * 10)
        os.remove(os.path.join(directory, "model.ckpt-20.meta"))  # they are large
        if sharded:
            os.remove(os.path.join(directory, "model.ckpt-30.meta"))


def model():
    keras.utils.set_random_seed(1)
    net = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
    net.compile("adam", "mse")
    return net


def save_keras(directory):
    net = model()
    net.fit(np.ones([8, 3]), np.ones([8, 1]), batch_size=2, epochs=2, verbose=0)
    net.save_weights(os.path.join(directory, "model-02.weights.h5"))
    net.save(os.path.join(directory, "model.keras"))
    net.save(os.path.join(directory, "whole.h5"))


def save_keras_shards(directory):
    net = model()
    net.fit(np.ones([8, 3]), np.ones([8, 1]), batch_size=2, epochs=2, verbose=0)
    net.save_weights(os.path.join(directory, "model-02.weights.json"), max_shard_size=200 / 1024**3)


def save_backup(directory):
    """What BackupAndRestore leaves when a program dies."""

    class Die(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    backup = keras.callbacks.BackupAndRestore(directory, double_checkpoint=True)
    try:
        model().fit(np.ones([8, 3]), np.ones([8, 1]), batch_size=2, epochs=5, verbose=0, callbacks=[backup, Die()])
    except KeyboardInterrupt:
        pass


def save_saved_model(directory):
    class Net(tf.Module):
        def __init__(self):
            self.w = tf.Variable(tf.ones([3, 2]))
            self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0)

        @tf.function(input_signature=[tf.TensorSpec([None, 3])])
        def __call__(self, x):
            return x @ self.w

    tf.saved_model.save(Net(), os.path.join(directory, "1"))


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    for name, save in {
        "v2": save_v2,
        "shards": save_shards,
        "v1": lambda d: save_v1(d, v1.train.SaverDef.V2, sharded=False),
        "v1-sharded": lambda d: save_v1(d, v1.train.SaverDef.V2, sharded=True),
        "legacy": lambda d: save_v1(d, v1.train.SaverDef.V1, sharded=False),
        "legacy-sharded": lambda d: save_v1(d, v1.train.SaverDef.V1, sharded=True),
        "keras": save_keras,
        "keras-shards": save_keras_shards,
        "backup": save_backup,
        "saved-model": save_saved_model,
    }.items():
        directory = os.path.join(root, name)
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        save(directory)
        state = os.path.join(directory, "checkpoint")
        if os.path.exists(state):  # a Saver writes absolute paths: those of a directory that was elsewhere then
            with open(state) as f:
                text = f.read()
            with open(state, "w") as f:
                f.write(text.replace(root, "/models"))


main()
