"""Keeps everything below a directory that TensorFlow keeps in files, and reads it back.

usage: on_hdfs.py DIRECTORY      a new directory is made in it
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import uuid

import tensorflow as tf

g = tf.io.gfile
base = sys.argv[1].rstrip("/") + "/on-hdfs-" + uuid.uuid4().hex


def check(name, ok):
    print(name, "ok" if ok else "WRONG", flush=True)
    if not ok:
        sys.exit(f"{name}: wrong")


def checkpoints():
    v = tf.Variable(tf.random.normal([1000, 100]))
    step = tf.Variable(0)
    checkpoint = tf.train.Checkpoint(v=v, step=step)
    manager = tf.train.CheckpointManager(checkpoint, f"{base}/ckpt", max_to_keep=2)
    want = v.numpy()
    for _ in range(4):
        step.assign_add(1)
        manager.save()
    v.assign(tf.zeros_like(v))
    newest = tf.train.latest_checkpoint(f"{base}/ckpt")
    checkpoint.restore(newest).assert_consumed()
    check("checkpoint restored", (v.numpy() == want).all() and int(step) == 4)
    names = [n for n in g.listdir(f"{base}/ckpt") if n.endswith(".index")]
    check("checkpoints kept", sorted(names) == ["ckpt-3.index", "ckpt-4.index"])


def summaries():
    def write(step):  # what tf.summary.scalar does, for which TensorBoard would have to be there
        metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
        tf.summary.write("x", tf.constant(float(step)), step=step, metadata=metadata)

    writer = tf.summary.create_file_writer(f"{base}/tb")
    with writer.as_default():
        write(1)
        writer.flush()
        name = g.glob(f"{base}/tb/events*")[0]

        def seen():
            return sum(1 for e in tf.compat.v1.train.summary_iterator(name) if e.step > 0)

        deadline = time.monotonic() + 30
        while seen() < 1 and time.monotonic() < deadline:
            time.sleep(0.2)
        check("summary readable while it is written", seen() == 1)
        for step in range(2, 100):
            write(step)
    writer.close()
    check("summaries", seen() == 99)


def files_left_open():
    """A program that exits without closing its event file leaves all of it, as on a local disk."""
    name = f"{base}/tb/left.tfevents"
    program = """
import ctypes, sys
import tensorflow as tf
writer = tf.io.TFRecordWriter(sys.argv[1])
for _ in range(3):
    writer.write(b"x")
ctypes.pythonapi.Py_IncRef(ctypes.py_object(writer))  # nobody lets go of it
"""
    subprocess.run([sys.executable, "-c", program, name], check=True)

    def records():
        return sum(1 for _ in tf.data.TFRecordDataset(name))

    deadline = time.monotonic() + 30  # the agent hears of the exit a moment later
    while records() < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    check("event file left open", records() == 3)


def keras_models():
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    x = tf.ones([2, 4])
    want = model(x).numpy()
    model.save(f"{base}/model.keras")
    check("keras model", (keras.models.load_model(f"{base}/model.keras")(x).numpy() == want).all())
    if hasattr(model, "export"):
        model.export(f"{base}/exported")
        loaded = tf.saved_model.load(f"{base}/exported")
        check("exported model", abs(loaded.serve(x).numpy() - want).max() < 1e-5)


def saved_model():
    m = tf.Module()
    m.v = tf.Variable(3.0)
    m.f = tf.function(lambda x: x * m.v, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(m, f"{base}/saved")
    loaded = tf.saved_model.load(f"{base}/saved")
    check("saved model", float(loaded.f(tf.constant(2.0))) == 6)


def datasets():
    for i in range(4):
        with tf.io.TFRecordWriter(f"{base}/data-{i}") as w:
            for j in range(1000):
                w.write(b"%d %d" % (i, j) * 20)
    files = tf.data.Dataset.list_files(f"{base}/data-*")
    records = files.interleave(tf.data.TFRecordDataset, cycle_length=4, num_parallel_calls=4)
    check("records", len(set(records.as_numpy_iterator())) == 4000)
    zipped = tf.data.TFRecordDataset([f"{base}/data-0"])
    d = tf.data.Dataset.range(1000).map(lambda x: x * x).snapshot(f"{base}/snapshot")
    first = list(d.as_numpy_iterator())
    check("snapshot", list(d.as_numpy_iterator()) == first and first[10] == 100 and g.exists(f"{base}/snapshot"))
    tf.data.Dataset.range(10).save(f"{base}/dataset")
    check("saved dataset", list(tf.data.Dataset.load(f"{base}/dataset").as_numpy_iterator()) == list(range(10)))
    iterator = iter(zipped)
    next(iterator)
    saved = tf.train.Checkpoint(it=iterator).save(f"{base}/iterator/ckpt")
    second = next(iterator).numpy()
    tf.train.Checkpoint(it=iterator).restore(saved)
    check("iterator", next(iterator).numpy() == second)
    with tf.io.TFRecordWriter(f"{base}/packed", tf.io.TFRecordOptions(compression_type="GZIP")) as w:
        w.write(b"x" * 1000)
    check("compressed", [len(r) for r in tf.data.TFRecordDataset(f"{base}/packed", "GZIP").as_numpy_iterator()] == [1000])


def forked(f):
    """Read in a child what the parent has open, and leave the parent's writer alone."""
    child = os.fork()
    if not child:
        try:
            ok = f.read(5) == "56789" and g.GFile(f"{base}/fork").size() == 10
        except BaseException as e:
            print("child:", e, flush=True)
            ok = False
        os._exit(0 if ok else 1)
    return os.waitpid(child, 0)[1] == 0


def forks():
    with g.GFile(f"{base}/fork", "w") as f:
        f.write("0123456789")
    with g.GFile(f"{base}/fork") as f:
        check("before the fork", f.read(5) == "01234")
        check("in the child", forked(f))
        check("after the fork", f.read(5) == "56789")


def spawned():
    check("in a new process", multiprocessing.get_context("spawn").Pool(1).apply(size_of, (f"{base}/fork",)) == 10)


def size_of(name):
    return tf.io.gfile.stat(name).length


def killed():
    """A killed writer leaves nothing under the name, but what it flushed and appended."""
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        whole = g.GFile(f"{base}/half", "w")
        whole.write("x" * (3 << 20))
        shown = g.GFile(f"{base}/shown", "w")
        shown.write("shown")
        shown.flush()
        shown.write(" and not")
        added = g.GFile(f"{base}/fork", "a")
        added.write("more")
        added.flush()
        os.write(tell, b"x")
        time.sleep(600)
    os.read(ready, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    def text():
        return g.GFile(f"{base}/fork").read()

    deadline = time.monotonic() + 30
    while text() != "0123456789more" and time.monotonic() < deadline:
        time.sleep(0.2)
    check("killed writer", not g.exists(f"{base}/half") and text() == "0123456789more")
    check("killed after a flush", g.GFile(f"{base}/shown").read() == "shown")


if __name__ == "__main__":
    g.makedirs(base)
    forks()
    spawned()
    killed()
    checkpoints()
    summaries()
    files_left_open()
    saved_model()
    datasets()
    keras_models()
    g.rmtree(base)
    print("all is well")
