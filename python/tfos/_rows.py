"""Rows on the wire, many at a time: what a feeder writes, the program reads. The agent between them never looks inside.

A chunk of rows is a meta, which JSON can carry, and a body. A kind that fits all rows of a chunk keeps their types exactly:

    floats  lists or tuples of as many floats each
    array   NumPy arrays of one dtype and shape
    bytes   bytes of any length
    columns tuples or lists whose columns are of such kinds
    rows    a DataFrame's, by columns
    pickle  anything else that can be pickled
    pickles rows that Spark has pickled already, some together: they were not looked at, nor counted

NumPy is used where rows are made of it, and else not needed.
"""

import json
import marshal
import pickle
import struct
import sys

# A chunk holds as many rows as fit into CHUNK_BYTES, and no more than CHUNK_ROWS.
CHUNK_ROWS = 1024
CHUNK_BYTES = 2 << 20
# Rows of more columns are pickled as they are.
MAX_COLUMNS = 64

_FLOAT = 9  # bytes of a float by marshal's version 2: "g", and 8 bytes in little endian
_ROW = 5  # before a row's floats: "[" or "(", and how many


class Unpicklable(TypeError):
    """A row that cannot be pickled."""


def _numpy():
    return sys.modules.get("numpy")


def size(row):
    """About how many bytes a row is."""
    kind = type(row)
    if kind is bytes or kind is str:
        return len(row)
    nbytes = getattr(row, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    if isinstance(row, (list, tuple)):
        n = len(row)
        if n > MAX_COLUMNS:
            return _FLOAT * n + size(row[0])
        return _FLOAT * n + sum(size(x) for x in row if type(x) not in (float, int))
    if isinstance(row, dict):
        return sum(size(k) + size(v) for k, v in row.items())
    return sys.getsizeof(row, 64)


def chunks(rows):
    """Cut an iterable of rows into lists. Where it cuts depends on the rows alone, so that who feeds them again cuts alike."""
    chunk, held = [], 0
    for row in rows:
        chunk.append(row)
        held += size(row)
        if held >= CHUNK_BYTES or len(chunk) >= CHUNK_ROWS:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def encode(rows):
    """The meta and the buffers of a list of rows."""
    found = _encode(rows)
    if found is None:
        found = _pickled(rows)
    return found


def _encode(rows):
    first = rows[0] if rows else None
    kind = type(first)
    if kind is bytes:
        return _bytes(rows)
    if kind is list or kind is tuple:
        if first and type(first[0]) is float:
            found = _floats(rows, kind, len(first))
            if found is not None:
                return found
        if 0 < len(first) <= MAX_COLUMNS and any(_heavy(x) for x in first):
            return _columns(rows, kind, len(first))
        return None
    np = _numpy()
    if np is not None and kind is np.ndarray:
        return _arrays(rows, np)
    return None


def _heavy(x):
    """Whether a column of such values is worth a buffer of its own."""
    np = _numpy()
    return type(x) is bytes or (type(x) in (list, tuple) and len(x) > 8) or (np is not None and type(x) is np.ndarray)


def _floats(rows, kind, n):
    """marshal writes lists and tuples of n floats into a grid. Where anything else is among them, the grid is broken."""
    try:
        body = marshal.dumps(rows, 2)
    except ValueError:
        return None
    stride = _ROW + _FLOAT * n
    if len(body) != _ROW + stride * len(rows):
        return None
    head = (b"[" if kind is list else b"(") + struct.pack("<i", n)
    codes = b"g" * n
    view = memoryview(body)[_ROW:]
    for at in range(0, len(view), stride):
        if view[at : at + _ROW] != head or bytes(view[at + _ROW : at + stride : _FLOAT]) != codes:
            return None
    return {"k": "floats", "n": n, "rows": len(rows)}, [body]


def _bytes(rows):
    if any(type(r) is not bytes for r in rows):
        return None
    return {"k": "bytes", "n": [len(r) for r in rows]}, [b"".join(rows)]


def _arrays(rows, np):
    first = rows[0]
    if first.dtype.hasobject or first.dtype.names is not None:
        return None
    if any(type(r) is not np.ndarray or r.dtype != first.dtype or r.shape != first.shape for r in rows):
        return None
    return matrix(np.stack(rows))


def matrix(m):
    """The meta and the buffers of a NumPy array whose first axis is the rows'."""
    np = _numpy()
    m = np.ascontiguousarray(m)
    return {"k": "array", "d": m.dtype.str, "s": list(m.shape)}, [memoryview(m.reshape(-1).view(np.uint8)) if m.size else b""]


def _columns(rows, kind, n):
    if any(type(r) is not kind or len(r) != n for r in rows):
        return None
    return columns([list(c) for c in zip(*rows)], kind=kind.__name__)


def columns(values, kind="tuple", names=None):
    """The meta and the buffers of rows by their columns: each a list of values, or the result of matrix."""
    metas, buffers = [], []
    for column in values:
        meta, more = column if isinstance(column, tuple) else encode(column)
        meta["z"] = sum(len(b) for b in more)
        metas.append(meta)
        buffers += more
    return {"k": "columns", "t": kind, "c": metas, "names": names}, buffers


def _pickled(rows):
    try:
        return {"k": "pickle"}, [pickle.dumps(rows, 5)]
    except Exception as e:
        for i, row in enumerate(rows):
            try:
                pickle.dumps(row, 5)
            except Exception as cause:
                raise Unpicklable(f"a row of type {type(row).__name__} cannot be pickled, so it cannot be fed: {cause}") from cause
        raise Unpicklable(f"rows cannot be pickled together, so they cannot be fed: {e}") from e


def pickles(lists):
    """The meta and the buffers of lists of rows that are pickled already."""
    return {"k": "pickles", "n": [len(p) for p in lists]}, lists


def decode(meta, body):
    """The rows of a chunk, as a list. body is a bytearray, which arrays among the rows share."""
    kind = meta["k"]
    if kind == "floats":
        return marshal.loads(body)
    if kind == "array":
        return list(_array(meta, body))
    if kind == "bytes":
        rows, at = [], 0
        view = memoryview(body)
        for n in meta["n"]:
            rows.append(bytes(view[at : at + n]))
            at += n
        return rows
    if kind == "columns":
        rows = zip(*(decode(m, part) for m, part in _parts(meta, body)))
        return [list(r) for r in rows] if meta["t"] == "list" else list(rows)
    if kind == "pickles":
        rows, at = [], 0
        view = memoryview(body)
        for n in meta["n"]:
            rows += pickle.loads(view[at : at + n])
            at += n
        return rows
    return pickle.loads(body)


def _parts(meta, body):
    view, at = memoryview(body), 0
    for m in meta["c"]:
        yield m, view[at : at + m["z"]]
        at += m["z"]


def _array(meta, body):
    import numpy as np

    return np.frombuffer(body, np.dtype(meta["d"])).reshape(meta["s"])


def decode_columns(meta, body):
    """A chunk as NumPy arrays whose first axis is the rows': a tuple of them for rows that are tuples, else one."""
    import numpy as np

    kind = meta["k"]
    if kind == "floats":
        n = meta["n"]
        row = np.dtype([("head", np.uint8, _ROW), ("floats", [("code", np.uint8), ("value", "<f8")], n)])
        return np.ascontiguousarray(np.frombuffer(body, row, offset=_ROW)["floats"]["value"])
    if kind == "array":
        return _array(meta, body)
    if kind == "columns":
        return tuple(decode_columns(m, part) for m, part in _parts(meta, body))
    rows = decode(meta, body)
    if rows and isinstance(rows[0], tuple):
        return tuple(_stack(c) for c in zip(*rows))
    return _stack(rows)


def _stack(values):
    import numpy as np

    if values and isinstance(values[0], bytes):
        a = np.empty(len(values), object)
        a[:] = values
        return a
    return np.asarray(values)


def meta_bytes(meta):
    """A meta as JSON, without blanks."""
    return json.dumps(meta, separators=(",", ":"))
