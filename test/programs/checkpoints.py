"""Writes checkpoints of random variables: checkpoints.py DIRECTORY COUNT SEED. Each lies in a directory of its own, of its kind."""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
v1.logging.set_verbosity(v1.logging.ERROR)
directory, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(seed)
numbers = [
    tf.bfloat16, tf.float16, tf.float32, tf.float64, tf.complex64, tf.complex128, tf.bool,
    tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64,
    tf.dtypes.experimental.float8_e5m2, tf.dtypes.experimental.float8_e4m3fn, tf.dtypes.experimental.int4, tf.dtypes.experimental.uint4,
]


def shape():
    return [int(n) for n in rng.integers(0, 9, rng.integers(0, 4))]


def value(dtype):
    if dtype == tf.string:
        dims = shape()
        words = [rng.bytes(int(rng.choice([0, 1, 5, 130, 20000], p=[0.2, 0.3, 0.3, 0.19, 0.01]))) for _ in range(int(np.prod(dims)))]
        return tf.reshape(tf.constant(words, tf.string), dims)
    return tf.constant(rng.integers(0, 7, shape()).astype(dtype.as_numpy_dtype))


def variables(n, dtypes):
    return {f"v{i}": tf.Variable(value(dtypes[rng.integers(len(dtypes))])) for i in range(n)}


def objects(path):
    """tf.train.Checkpoint: all types, a tf.data iterator, sometimes a large tensor."""
    kinds = variables(rng.integers(1, 20), numbers + [tf.string] * 4)
    if rng.random() < 0.3:
        kinds["iterator"] = iter(tf.data.Dataset.range(100).shuffle(10))
        next(kinds["iterator"])
    if rng.random() < 0.02:
        kinds["large"] = tf.Variable(rng.random([10_000_000], dtype=np.float32))
    checkpoint = tf.train.Checkpoint(step=tf.Variable(1, dtype=tf.int64), **kinds)
    tf.train.CheckpointManager(checkpoint, path, max_to_keep=2).save()


def shards(path):
    """tf.train.Checkpoint cut into shards and slices."""
    kinds = {f"v{i}": tf.Variable(rng.random([int(rng.integers(1, 50)), 7], dtype=np.float32)) for i in range(rng.integers(1, 9))}
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=int(rng.integers(200, 3000)))
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
    tf.train.Checkpoint(**kinds).save(os.path.join(path, "ckpt"), options=options)


def saver(path, version=v1.train.SaverDef.V2):
    """A Saver with partitioned variables on several devices."""
    with tf.Graph().as_default():
        v1.train.get_or_create_global_step()
        for i in range(rng.integers(1, 6)):
            partitioner = v1.fixed_size_partitioner(int(rng.integers(1, 4))) if rng.random() < 0.5 else None
            with tf.device(f"CPU:{rng.integers(3)}"), v1.variable_scope("s", partitioner=partitioner):
                v1.get_variable(f"v{i}", [int(rng.integers(3, 30)), 4], tf.float32, v1.random_uniform_initializer())
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": 3})) as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver(write_version=version, sharded=bool(rng.integers(2))).save(session, os.path.join(path, "model.ckpt"), global_step=7)


def legacy(path):
    saver(path, v1.train.SaverDef.V1)


def model():
    net = keras.Sequential([keras.Input([3])] + [keras.layers.Dense(int(rng.integers(1, 40))) for _ in range(rng.integers(1, 12))])
    net.compile("adam", "mse")
    net.optimizer.build(net.trainable_variables)
    return net


def weights(path):
    model().save_weights(os.path.join(path, "model-01.weights.h5"))


def archive(path):
    model().save(os.path.join(path, "model.keras"))


def saved_model(path):
    module = tf.Module()
    module.v = list(variables(rng.integers(1, 5), [tf.float32, tf.int64, tf.string]).values())
    tf.saved_model.save(module, path)


for n in range(count):
    kind = [objects, objects, objects, shards, objects, saver, objects, legacy, weights, objects, archive, shards, saved_model][n % 13]
    path = os.path.join(directory, f"{n:04d}-{kind.__name__}")
    os.makedirs(path)
    kind(path)
    if n % 50 == 49:
        keras.backend.clear_session()
