"""Makes every call of tf.io.gfile below a directory, and the same calls below a local one, and compares what comes of them.

usage: gfile.py DIRECTORY      on any filesystem; a new directory is made in it
"""

import os
import sys
import tempfile
import uuid

import tensorflow as tf

g = tf.io.gfile
differences = 0


def outcome(call, base):
    """What a call returns, or the class of its error. The directory is left out of names."""
    try:
        value = call(base)
    except tf.errors.OpError as e:
        assert e.message, "an error without a message"
        return type(e).__name__
    except Exception as e:
        return f"{type(e).__name__}: {str(e).replace(base, 'BASE')}"
    return plain(value, base)


def plain(value, base):
    if isinstance(value, (list, tuple)):
        return sorted((plain(v, base) for v in value), key=repr)
    if isinstance(value, str):
        return value.replace(base, "BASE").rstrip("/")
    if isinstance(value, bytes):
        return plain(value.decode("latin-1"), base)
    return value


def write(name, text, mode="w"):
    def call(base):
        with g.GFile(f"{base}/{name}", mode) as f:
            f.write(text)
            return f.tell() if "b" in mode else None

    return call


def read(name, *steps, mode="r"):
    def call(base):
        with g.GFile(f"{base}/{name}", mode) as f:
            return [getattr(f, step)(*args) for step, *args in steps] if steps else f.read()

    return call


def stat(name):
    def call(base):
        s = g.stat(f"{base}/{name}")
        assert s.mtime_nsec > 0
        return (s.is_directory, None if s.is_directory else s.length)

    return call


def unflushed(base):
    f = g.GFile(f"{base}/never closed", "w")
    f.write("text")
    del f
    return g.GFile(f"{base}/never closed").read()


def flushed(base):
    """What a program reads of a file that it is writing."""
    name, seen = f"{base}/flushed", []
    with g.GFile(name, "w") as f:
        for text in ("one", "two", "three"):
            f.write(text)
            f.flush()
            seen.append((g.GFile(name).read(), g.stat(name).length))
    return seen


def flushed_records(base):
    name, seen = f"{base}/flushed records", []
    with tf.io.TFRecordWriter(name) as w:
        for i in range(5):
            w.write(b"%d" % i)
            w.flush()
            seen.append(len(list(tf.data.TFRecordDataset(name))))
    return seen


def tell(base):
    with g.GFile(f"{base}/told", "wb") as f:
        f.write(b"0123456789")
        f.flush()
        return f.tell()


def iterate(base):
    with g.GFile(f"{base}/lines") as f:
        return [line for line in f]


def records(base):
    name = f"{base}/records"
    with tf.io.TFRecordWriter(name) as w:
        for i in range(1000):
            w.write(b"%d" % i * i)
    return [r for r in tf.data.TFRecordDataset(name).as_numpy_iterator()]


def on(f, *names, **more):
    def call(base):
        return f(*(f"{base}/{n}" if n else base for n in names), **more)

    return call


BIG = bytes(range(256)) * 12345  # more than a few buffers

CALLS = [
    ("makedirs", on(g.makedirs, "a/b/c")),
    ("makedirs again", on(g.makedirs, "a/b/c")),
    ("mkdir", on(g.mkdir, "d")),
    ("mkdir that exists", on(g.mkdir, "d")),
    ("mkdir without parent", on(g.mkdir, "no/such")),
    ("write", write("d/f", "hello\nworld\n")),
    ("write over", write("d/f", "hello again\n")),
    ("write without parent", write("no/such", "x")),
    ("write over directory", write("d", "x")),
    ("write another", write("d/new", "x")),
    ("write empty", write("d/empty", "")),
    ("write bytes", write("d/big", BIG, "wb")),
    ("write awkward name", write("d/50% of #1 ?x=y & z", "odd")),
    ("write unicode name", write("d/größe", "umlaut")),
    ("read", read("d/f")),
    ("read bytes", read("d/big", mode="rb")),
    ("read empty", read("d/empty")),
    ("read awkward name", read("d/50% of #1 ?x=y & z")),
    ("read unicode name", read("d/größe")),
    ("read missing", read("d/none")),
    ("read below file", read("d/f/x")),
    ("read directory", read("d")),
    ("read parts", read("d/big", ("read", 5), ("tell",), ("seek", 1000), ("read", 7), ("read", 1 << 20), ("tell",), ("size",), mode="rb")),
    ("read past the end", read("d/f", ("seek", 5), ("read", 1000), ("read", 10))),
    ("lines", write("lines", "one\ntwo\n\nfour")),
    ("readline", read("lines", ("readline",), ("readline",), ("readline",), ("readline",), ("readline",))),
    ("readlines", read("lines", ("readlines",))),
    ("iterate", iterate),
    ("append", write("d/f", "more\n", "a")),
    ("append read", read("d/f")),
    ("append to nothing", write("d/appended", "first", "a")),
    ("append to nothing read", read("d/appended")),
    ("append to directory", write("d", "x", "a")),
    ("tell", tell),
    ("never closed", unflushed),
    ("read what was flushed", flushed),
    ("read records that were flushed", flushed_records),
    ("exists file", on(g.exists, "d/f")),
    ("exists directory", on(g.exists, "d")),
    ("exists nothing", on(g.exists, "d/none")),
    ("exists below file", on(g.exists, "d/f/x")),
    ("isdir directory", on(g.isdir, "d")),
    ("isdir file", on(g.isdir, "d/f")),
    ("isdir nothing", on(g.isdir, "d/none")),
    ("stat file", stat("d/f")),
    ("stat directory", stat("d")),
    ("stat nothing", stat("d/none")),
    ("listdir", on(g.listdir, "d")),
    ("listdir top", on(g.listdir, "")),
    ("listdir empty", on(g.listdir, "a/b/c")),
    ("listdir file", on(g.listdir, "d/f")),
    ("listdir nothing", on(g.listdir, "none")),
    ("glob star", on(g.glob, "d/*")),
    ("glob name", on(g.glob, "d/f")),
    ("glob no name", on(g.glob, "d/none")),
    ("glob in the middle", on(g.glob, "*/f*")),
    ("glob question mark", on(g.glob, "d/?ew")),
    ("glob class", on(g.glob, "d/[a-f]*")),
    ("glob not class", on(g.glob, "d/[!a-f]*")),
    ("glob open class", on(g.glob, "d/[a-f")),
    ("glob escaped", on(g.glob, "d/50\\% of #1 \\?*")),
    ("glob nothing", on(g.glob, "none/*")),
    ("glob below file", on(g.glob, "d/f/*")),
    ("glob through a file", on(g.glob, "d/*/x/*")),
    ("glob deep", on(g.glob, "a/*/*")),
    ("walk", on(lambda d: [(p, sorted(s), sorted(f)) for p, s, f in g.walk(d)], "")),
    ("walk up", on(lambda d: [(p, sorted(s), sorted(f)) for p, s, f in g.walk(d, topdown=False)], "a")),
    ("walk nothing", on(lambda d: list(g.walk(d)), "none")),
    ("copy", on(g.copy, "d/f", "d/copied")),
    ("copy read", read("d/copied")),
    ("copy big", on(g.copy, "d/big", "d/big2")),
    ("copy big read", read("d/big2", mode="rb")),
    ("copy onto file", on(g.copy, "d/big", "d/copied")),
    ("copy over file", on(g.copy, "d/big", "d/copied", overwrite=True)),
    ("copy over file stat", stat("d/copied")),
    ("copy nothing", on(g.copy, "d/none", "d/copied2")),
    ("copy directory", on(g.copy, "d", "e")),
    ("copy directory leaves", lambda base: g.exists(f"{base}/e") and g.remove(f"{base}/e") or None),  # a local copy leaves an empty file
    ("copy onto directory", on(g.copy, "d/f", "a", overwrite=True)),
    ("copy without parent", on(g.copy, "d/f", "no/such")),
    ("copy to local", lambda base: (g.copy(f"{base}/d/f", f"{LOCAL}/copied", overwrite=True), open(f"{LOCAL}/copied").read())[1]),
    ("copy from local", lambda base: (g.copy(f"{LOCAL}/copied", f"{base}/from local"), g.GFile(f"{base}/from local").read())[1]),
    ("rename", on(g.rename, "d/copied", "d/renamed")),
    ("rename stat", stat("d/renamed")),
    ("rename old stat", stat("d/copied")),
    ("rename nothing", on(g.rename, "d/none", "d/x")),
    ("rename onto file", on(g.rename, "d/renamed", "d/f")),
    ("rename over file", on(g.rename, "d/renamed", "d/big", overwrite=True)),
    ("rename onto itself", on(g.rename, "d/f", "d/f", overwrite=True)),
    ("rename without parent", on(g.rename, "d/f", "no/such")),
    ("rename file over directory", on(g.rename, "d/f", "a", overwrite=True)),
    ("rename directory over file", on(g.rename, "a", "d/f", overwrite=True)),
    ("rename directory", on(g.rename, "a", "moved")),
    ("rename directory read", on(g.listdir, "moved")),
    ("rename directory into itself", on(g.rename, "moved", "moved/b/x")),
    ("rename directory over empty", lambda base: (g.makedirs(f"{base}/empty1"), g.rename(f"{base}/moved", f"{base}/empty1", overwrite=True), g.listdir(f"{base}/empty1"))[2]),
    ("rename directory over full", on(g.rename, "empty1", "d", overwrite=True)),
    ("remove", on(g.remove, "d/new")),
    ("remove again", on(g.remove, "d/new")),
    ("remove directory", on(g.remove, "d")),
    ("rmtree", on(g.rmtree, "empty1")),
    ("rmtree nothing", on(g.rmtree, "none")),
    ("rmtree full", on(g.rmtree, "d")),
    ("rmtree exists", on(g.exists, "d")),
    ("mkdir below file", on(g.mkdir, "lines/x")),
    ("makedirs below file", on(g.makedirs, "lines/x/y")),
    ("makedirs on file", on(g.makedirs, "lines")),
    ("write below file", write("lines/x", "x")),
    ("join", lambda base: g.join(base, "x", "y")),
    ("records", records),
    ("read file op", lambda base: tf.io.read_file(f"{base}/lines").numpy()),
    ("write file op", lambda base: tf.io.write_file(f"{base}/deep/er/file", "made with its directories")),
    ("write file op read", lambda base: tf.io.read_file(f"{base}/deep/er/file").numpy()),
    ("matching files op", lambda base: [n for n in tf.io.matching_files(f"{base}/*").numpy()]),
    ("list files", lambda base: [n for n in tf.data.Dataset.list_files(f"{base}/*").as_numpy_iterator()]),
    ("text lines", lambda base: [n for n in tf.data.TextLineDataset(f"{base}/lines").as_numpy_iterator()]),
    ("fixed length", lambda base: [n for n in tf.data.FixedLengthRecordDataset(f"{base}/lines", 1).as_numpy_iterator()]),
    ("listdir at last", on(g.listdir, "")),
]

LOCAL = tempfile.mkdtemp(prefix="gfile-")
remote = sys.argv[1].rstrip("/") + "/gfile-" + uuid.uuid4().hex
local = os.path.join(LOCAL, os.path.basename(remote))
os.mkdir(local)
g.makedirs(remote)
for name, call in CALLS:
    want, got = outcome(call, local), outcome(call, remote)
    if want != got:
        differences += 1
        print(f"DIFFERS {name}: local {str(want)[:300]}, remote {str(got)[:300]}")
g.rmtree(remote)
g.rmtree(LOCAL)
print(f"{len(CALLS)} calls, {differences} differ")
sys.exit(1 if differences else 0)
