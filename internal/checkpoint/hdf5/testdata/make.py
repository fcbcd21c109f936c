"""Writes HDF5 files as other programs than Keras write them. h5py opens each of them. Written with h5py 3.14."""

import os
import sys

import h5py
import numpy as np

out = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))


def plain(h):
    h["w"] = np.arange(10)
    h.create_group("g")["x"] = np.ones((3, 3))


def links(h):
    plain(h)
    h["again"], h["w2"] = h["g"], h["w"]
    h["g"]["up"] = h["/"]
    h["soft"], h["g"]["nowhere"] = h5py.SoftLink("/g/x"), h5py.SoftLink("/nowhere")


def external(h):
    plain(h)
    h["e"] = h5py.ExternalLink("other.h5", "/x")


def committed(h):
    h["t"] = np.dtype("f8")
    h.create_dataset("ct", (7,), h["t"])[...] = 1


def unwritten(h):
    h.create_dataset("u", (1000,), "f4")
    h.create_dataset("sparse", (1 << 40, 1 << 20), "f4", chunks=(10, 10))


def make(name, fill, **how):
    with h5py.File(os.path.join(out, name), "w", **how) as h:
        fill(h)


make("plain.h5", plain)
make("user-block.h5", plain, userblock_size=1024)
make("links.h5", links)
make("unwritten.h5", unwritten)
make("external.h5", external)
make("committed.h5", committed)
make("ordered.h5", plain, track_order=True)
make("latest.h5", plain, libver="latest")
make("latest-user-block.h5", plain, libver="latest", userblock_size=512)
with open(os.path.join(out, "plain.h5"), "rb") as f:
    content = f.read()
with open(os.path.join(out, "behind-text.h5"), "wb") as f:  # the superblock says that it lies at 0
    f.write(b"#" * 512 + content)
