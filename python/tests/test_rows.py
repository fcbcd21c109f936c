import json
import pickle
import random
import unittest

from tfos import _rows


def there_and_back(rows):
    meta, buffers = _rows.encode(rows)
    meta = json.loads(json.dumps(meta))
    return meta["k"], _rows.decode(meta, bytearray(b"".join(bytes(b) for b in buffers)))


class Rows(unittest.TestCase):
    def test_what_is_pickled_already_is_not_looked_at(self):
        lists = [pickle.dumps([1, None]), pickle.dumps([]), pickle.dumps([[2.5]])]
        meta, buffers = _rows.pickles(lists)
        self.assertEqual(_rows.decode(json.loads(json.dumps(meta)), bytearray(b"".join(buffers))), [1, None, [2.5]])

    def test_types_stay(self):
        r = random.Random(1)
        floats = [[r.random() for _ in range(20)] for _ in range(9)]
        for kind, rows in [
            ("floats", floats),
            ("floats", [tuple(f) for f in floats]),
            ("floats", [[float("inf"), -0.0, 5e-324]]),
            ("pickle", [floats[0], floats[1][:-1]]),
            ("pickle", [floats[0], [1] + floats[1][1:]]),  # an int among floats stays one
            ("pickle", [floats[0], [True] + floats[1][1:]]),
            ("pickle", [floats[0], tuple(floats[1])]),
            ("pickle", [floats[0], None]),
            ("bytes", [b"", b"a", bytes(1000)]),
            ("pickle", [b"", "a"]),
            ("columns", [(f, i, b"x") for i, f in enumerate(floats)]),
            ("columns", [[f, "label"] for f in floats]),
            ("pickle", [None, 1, {"a": [2]}]),
            ("pickle", [[1, 2], [3, 4]]),
            ("pickle", []),
        ]:
            got, back = there_and_back(rows)
            self.assertEqual((got, back), (kind, rows))
            self.assertEqual(repr(back), repr(rows))  # which tells 1 from 1.0 and True

    def test_a_row_that_cannot_be_pickled_is_named(self):
        with self.assertRaisesRegex(TypeError, "a row of type generator cannot be pickled"):
            _rows.encode([1, (x for x in ())])

    def test_chunks_depend_on_rows_alone_and_hold_little(self):
        self.assertEqual([len(c) for c in _rows.chunks(range(2500))], [1024, 1024, 452])
        self.assertEqual([len(c) for c in _rows.chunks([bytes(_rows.CHUNK_BYTES)] * 3)], [1, 1, 1])
        self.assertEqual(list(_rows.chunks([])), [])


try:
    import numpy as np
except ImportError:
    np = None


@unittest.skipIf(np is None, "NumPy is not installed")
class Arrays(unittest.TestCase):
    def test_arrays_stay(self):
        rows = [np.arange(6, dtype=np.float32).reshape(2, 3) + i for i in range(5)]
        kind, back = there_and_back(rows)
        self.assertEqual(kind, "array")
        for a, b in zip(rows, back):
            self.assertEqual((a.dtype, a.shape, a.tolist()), (b.dtype, b.shape, b.tolist()))

    def test_scalars_of_numpy_are_no_floats(self):
        row = [1.0] * 7 + [np.float32(2)]
        kind, back = there_and_back([[1.0] * 8, row])
        self.assertEqual((kind, type(back[1][7])), ("pickle", np.float32))

    def test_columns_for_tensors(self):
        meta, buffers = _rows.encode([([float(i)] * 9, i) for i in range(4)])
        x, y = _rows.decode_columns(json.loads(json.dumps(meta)), bytearray(b"".join(buffers)))
        self.assertEqual((x.shape, x.dtype, y.tolist()), ((4, 9), np.float64, [0, 1, 2, 3]))
        self.assertEqual(x[3].tolist(), [3.0] * 9)
