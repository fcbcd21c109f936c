"""Makes a model and data for tests of tfos predict, or tells whether an output is what Python's own loop gives.

make DIR [TIMES]         writes DIR/model and DIR/in/*.tfrecord, each record TIMES times; DIR/bytes is a model of images' bytes
loop DIR FORMAT [OUT]    runs the model over DIR/in as a program in Python does, writes what tfos predict --keep id writes (FORMAT: tfrecord, jsonl or csv)
                         or nothing (none), and prints how fast that is
check DIR OUT            compares the TFRecords in OUT, part by part, with the model's results for the same batches, bit by bit
"""

import csv
import glob
import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

BATCH = 1024  # tfos predict's default
WIDTH = 32


class Model(tf.Module):
    def __init__(self):
        rng = np.random.default_rng(3)
        self.a = tf.Variable(rng.standard_normal((WIDTH, 256)).astype("f4"))
        self.b = tf.Variable(rng.standard_normal((256, 10)).astype("f4"))

    @tf.function(input_signature=[tf.TensorSpec([None, WIDTH], tf.float32, "x"), tf.TensorSpec([None], tf.string, "id")])
    def __call__(self, x, id):
        return {"y": tf.nn.softmax(tf.nn.relu(x @ self.a) @ self.b), "who": tf.strings.join(["row ", id])}


class Bytes(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image")])
    def __call__(self, image):
        return {"size": tf.strings.length(image)}


def make(d, times=1):
    for name, m in ("model", Model()), ("bytes", Bytes()):
        tf.saved_model.save(m, f"{d}/{name}", signatures={"serving_default": m.__call__.get_concrete_function()})
    os.makedirs(f"{d}/in")
    rng = np.random.default_rng(4)
    f = tf.train.Feature
    n = 0
    for k in range(12):
        records = []
        for _ in range(500 + 700 * k):
            x = rng.standard_normal(WIDTH).astype("f4")
            name = b"%d" % n if n % 3 else b"%d, whose name is longer" % n  # TensorFlow keeps strings of up to 22 bytes in another way
            feature = {"x": f(float_list=tf.train.FloatList(value=x)), "id": f(bytes_list=tf.train.BytesList(value=[name]))}
            records.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
            n += 1
        with tf.io.TFRecordWriter(f"{d}/in/{k:02}.tfrecord") as w:
            for record in records * int(times):
                w.write(record)


def rows(file):
    spec = {"y": tf.io.FixedLenFeature([10], tf.float32), "who": tf.io.FixedLenFeature([], tf.string), "id": tf.io.FixedLenFeature([], tf.string)}
    parsed = tf.io.parse_example(next(iter(tf.data.TFRecordDataset(file).batch(1 << 20))), spec)
    return {k: v.numpy() for k, v in parsed.items()}


def check(d, out):
    function = tf.saved_model.load(f"{d}/model").signatures["serving_default"]
    spec = {"x": tf.io.FixedLenFeature([WIDTH], tf.float32), "id": tf.io.FixedLenFeature([], tf.string)}
    inputs, parts = sorted(glob.glob(f"{d}/in/*")), sorted(glob.glob(f"{out}/part-*"))
    assert len(inputs) == len(parts), (inputs, parts)
    n = 0
    for file, part in zip(inputs, parts):
        got, at = rows(part), 0
        for batch in tf.data.TFRecordDataset(file).batch(BATCH):
            parsed = tf.io.parse_example(batch, spec)
            want = function(x=parsed["x"], id=parsed["id"])
            size = len(batch)
            assert got["y"][at : at + size].tobytes() == want["y"].numpy().tobytes(), f"{part}, row {at}"
            assert list(got["who"][at : at + size]) == list(want["who"].numpy()), f"{part}, row {at}"
            assert list(got["id"][at : at + size]) == list(parsed["id"].numpy()), f"{part}, row {at}"
            at += size
        assert at == len(got["y"]), f"{part} has {len(got['y'])} rows, want {at}"
        n += at
    print(f"{n} rows are the same")


def examples(f, columns):
    features = tf.train.Feature
    for who, i, y in zip(columns["who"], columns["id"], columns["y"]):
        feature = {
            "id": features(bytes_list=tf.train.BytesList(value=[i])),
            "who": features(bytes_list=tf.train.BytesList(value=[who])),
            "y": features(float_list=tf.train.FloatList(value=y)),
        }
        f.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def lines(f, columns):
    for who, i, y in zip(columns["who"], columns["id"], columns["y"].tolist()):
        f.write(json.dumps({"id": i.decode(), "who": who.decode(), "y": y}) + "\n")


def cells(f, columns):
    csv.writer(f).writerows((i.decode(), who.decode(), json.dumps(y)) for who, i, y in zip(columns["who"], columns["id"], columns["y"].tolist()))


class Nothing:
    def close(self):
        pass


WRITERS = {
    "tfrecord": (tf.io.TFRecordWriter, examples),
    "jsonl": (lambda out: open(out, "w"), lines),
    "csv": (lambda out: open(out, "w", newline=""), cells),
    "none": (lambda out: Nothing(), lambda f, columns: None),
}


def loop(d, form, out=None):
    function = tf.saved_model.load(f"{d}/model").signatures["serving_default"]
    spec = {"x": tf.io.FixedLenFeature([WIDTH], tf.float32), "id": tf.io.FixedLenFeature([], tf.string)}
    data = tf.data.TFRecordDataset(sorted(glob.glob(f"{d}/in/*"))).batch(BATCH)
    data = data.map(lambda b: tf.io.parse_example(b, spec), num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    function(**next(iter(data)))  # what the first call costs is not meant
    opened, write = WRITERS[form]
    f = opened(out)
    n, began, used = 0, time.perf_counter(), time.process_time()
    for batch in data:
        results = {k: v.numpy() for k, v in function(**batch).items()}
        write(f, results | {"id": batch["id"].numpy()})
        n += len(results["y"])
    f.close()
    took, used = time.perf_counter() - began, time.process_time() - used
    print(f"{n} rows in {took:.2f} s, {used:.2f} s of processor time: {n / took:.0f} rows/s")


{"make": make, "check": check, "loop": loop}[sys.argv[1]](*sys.argv[2:])
