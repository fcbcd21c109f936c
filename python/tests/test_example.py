import random
import struct
import unittest

from tfos import _tfrecord
from tfos.compat import _example
from tfos.compat._example import BYTES, FLOAT, INT64, Feature, Malformed


def some_features(rng):
    def value(kind):
        if kind == BYTES:
            return rng.randbytes(rng.choice([0, 1, 5, 200]))
        if kind == FLOAT:
            return struct.unpack("<f", struct.pack("<f", rng.uniform(-1e6, 1e6)))[0]
        return rng.choice([0, 1, -1, 127, 128, -(1 << 63), (1 << 63) - 1, rng.randrange(1 << 40)])

    found = {}
    for _ in range(rng.randrange(6)):
        kind = rng.choice([BYTES, FLOAT, INT64])
        name = rng.choice(["a", "b", "label", "höhe", "", "x" * 200])
        found[name] = Feature(kind, [value(kind) for _ in range(rng.choice([0, 1, 2, 50]))])
    return found


class ExampleTest(unittest.TestCase):
    def test_as_tensorflow_writes_and_reads_it(self):
        import tensorflow as tf

        lists = {BYTES: ("bytes_list", tf.train.BytesList), FLOAT: ("float_list", tf.train.FloatList), INT64: ("int64_list", tf.train.Int64List)}
        rng = random.Random(1)
        for _ in range(300):
            features = some_features(rng)
            theirs = tf.train.Example(features=tf.train.Features(feature={
                name: tf.train.Feature(**{lists[f.kind][0]: lists[f.kind][1](value=f.values)}) for name, f in features.items()
            }))
            ours = _example.encode(features)
            self.assertEqual(tf.train.Example.FromString(ours), theirs)
            self.assertEqual(len(ours), theirs.ByteSize())
            if len(features) <= 1:  # the order of several is each library's own
                self.assertEqual(ours, theirs.SerializeToString())
            self.assertEqual(_example.decode(theirs.SerializeToString()), features)

    def test_numbers_that_are_not_packed(self):
        one = b"\x0a\x01a\x12\x06\x1a\x04\x08\x05\x08\x07"  # 5 and 7
        other = b"\x0a\x01b\x12\x07\x12\x05\x0d" + struct.pack("<f", 0.5)
        features = b"\x0a" + bytes([len(one)]) + one + b"\x0a" + bytes([len(other)]) + other
        got = _example.decode(b"\x0a" + bytes([len(features)]) + features)
        self.assertEqual(got, {"a": Feature(INT64, [5, 7]), "b": Feature(FLOAT, [0.5])})

    def test_fields_of_a_later_version_are_passed_over(self):
        whole = _example.encode({"a": Feature(INT64, [1])})
        self.assertEqual(_example.decode(whole + b"\x50\x01" + b"\x59" + bytes(8) + b"\x65" + bytes(4) + b"\x6a\x01x"), {"a": Feature(INT64, [1])})

    def test_what_is_none_is_told(self):
        rng = random.Random(2)
        for _ in range(3000):
            data = bytearray(_example.encode(some_features(rng)))
            if data and rng.random() < 0.7:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            data = bytes(data[: rng.randrange(len(data) + 1)])
            try:
                _example.encode({n: f for n, f in _example.decode(data).items()})
            except Malformed:
                pass

    def test_too_large_a_number(self):
        with self.assertRaises(OverflowError):
            _example.encode({"a": Feature(INT64, [1 << 63])})


class FrameTest(unittest.TestCase):
    def test_as_tensorflow_reads_it(self):
        import tempfile

        import tensorflow as tf

        payloads = [b"", b"x", bytes(range(256)) * 40]
        with tempfile.NamedTemporaryFile() as f:
            f.write(b"".join(map(_tfrecord.frame, payloads)))
            f.flush()
            self.assertEqual([r.numpy() for r in tf.data.TFRecordDataset(f.name)], payloads)

    def test_a_flipped_bit_is_found(self):
        whole = _tfrecord.frame(b"some data")
        self.assertEqual(_tfrecord.unframe(whole), b"some data")
        for i in range(len(whole) * 8):
            damaged = bytearray(whole)
            damaged[i // 8] ^= 1 << i % 8
            with self.assertRaises(ValueError):
                _tfrecord.unframe(bytes(damaged))
