"""Rows of a DataFrame, from Arrow's record batches, by columns: what Spark's mapInArrow gives."""

import pyarrow as pa

from tfos import _rows


def chunks(batches):
    """Cut record batches into those that are a chunk each."""
    for batch in batches:
        each = max(1, batch.num_rows * _rows.CHUNK_BYTES // max(1, batch.nbytes))
        each = min(each, _rows.CHUNK_ROWS)
        for at in range(0, batch.num_rows, each):
            yield batch.slice(at, each)


def encode(batch):
    """The meta and the buffers of a record batch. Rows are tuples of what the columns hold: numbers and strings as Python has them,
    bytes, and arrays of numbers as NumPy's."""
    return _rows.columns([_column(c) for c in batch.columns])


def _column(c):
    """A column as _rows.columns takes it."""
    kind = c.type
    if c.null_count == 0 and (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        matrix = _matrix(c)
        if matrix is not None:
            return _rows.matrix(matrix)
    return c.to_pylist()


def _matrix(c):
    """A column of lists as an array of two axes; None: the lists are no numbers, or not of one length."""
    values = c.flatten()
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)) or values.null_count or not len(c) or len(values) % len(c):
        return None
    width = len(values) // len(c)
    if not pa.types.is_fixed_size_list(c.type):
        import pyarrow.compute as pc

        lengths = pc.min_max(pc.list_value_length(c)).as_py()
        if lengths["min"] != width or lengths["max"] != width:
            return None
    return values.to_numpy(zero_copy_only=False).reshape(len(c), width)
