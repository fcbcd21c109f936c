import bz2
import csv
import ctypes
import gzip
import io
import lzma
import os
import random
import struct
import tempfile
import threading
import time
import unittest
import zlib
from unittest import mock

from tfos import _agent, _crc, data


class Master:
    """Leases the pieces of one file, in order, and keeps what it is told."""

    def __init__(self, path, split):
        size = os.path.getsize(path)
        step = split or max(size, 1)
        self.todo = [{"piece": i, "path": path, "size": size, "from": at, "to": min(at + step, size), "position": at, "id": i + 1}
                     for i, at in enumerate(range(0, size, step))]
        self.pieces = len(self.todo)
        self.positions, self.ended, self.calls = {}, [], []
        self.fail = []  # what the next calls answer instead

    def call(self, method, path, body, timeout):
        assert (method, path) == ("POST", "/v1/lease")
        self.calls.append(body)
        if self.fail:
            answer = self.fail.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if "ack" in body:
            for a in body["ack"]:
                self.positions[a["lease"]] = a["position"]
                if a["end"]:
                    self.ended.append((a["lease"], a["end"]))
        if "next" not in body:
            return {"state": "agreed"}
        if not self.todo:
            return {"state": "over", "epoch": 1}
        return {"state": "granted", "epoch": 1, "lease": self.todo.pop(0)}


def record(payload):
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", _crc.masked(length)) + payload + struct.pack("<I", _crc.masked(payload))


class DataTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.addCleanup(data._leased.clear)

    def write(self, content, name="file"):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as f:
            f.write(content)
        return path

    def served(self, path, split):
        master = Master(path, split)
        patch = mock.patch.object(_agent, "call", master.call)
        patch.start()
        self.addCleanup(patch.stop)
        return master

    def read(self, path, kind, split, **more):
        master = self.served(path, split)
        found = list(data.records(path, kind, split=split, **more))
        self.assertEqual(master.ended, [(i + 1, "done") for i in range(master.pieces)])
        return found

    def test_masked_crc_is_that_of_tensorflow(self):
        self.assertEqual(_crc.masked(b"123456789"), ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF)
        self.assertIsNot(_crc._crc, _crc.in_python, "the library was not loaded")
        with mock.patch.object(_crc, "_crc", _crc.in_python):
            in_python = [_crc.masked(bytes(range(n))) for n in range(256)]
        self.assertEqual(in_python, [_crc.masked(bytes(range(n))) for n in range(256)])
        by_tables = ctypes.CDLL(_crc.library()).tfos_crc32c_by_tables
        by_tables.argtypes, by_tables.restype = [ctypes.c_char_p, ctypes.c_size_t], ctypes.c_uint32
        for n in range(256):
            self.assertEqual(by_tables(bytes(range(n)), n), _crc.in_python(bytes(range(n))))

    def test_without_the_library_checksums_are_computed_in_python(self):
        with mock.patch.object(_crc, "library", lambda: "/none.so"), self.assertLogs("tfos.data", "WARNING"):
            self.assertIs(_crc._in_c(), _crc.in_python)

    def test_every_line_is_in_one_piece_wherever_a_file_is_cut(self):
        content = b"one\ntwo\r\n\nfour is long\n" + b"x" * 50 + b"\n\n\nlast"
        path = self.write(content)
        want = [b"one", b"two", b"", b"four is long", b"x" * 50, b"", b"", b"last"]
        for split in [None, *range(1, len(content) + 2)]:
            self.assertEqual(self.read(path, "text", split), want, f"split {split}")
        self.assertEqual(self.read(self.write(content + b"\n"), "text", 7), want)

    def test_every_record_is_in_one_piece_wherever_a_file_is_cut(self):
        r = random.Random(1)
        want = [r.choice([b"", bytes(r.randrange(40)), r.randbytes(r.randrange(60)), record(b"a record within")]) for _ in range(60)]
        path = self.write(b"".join(map(record, want)))
        for split in [None, 1, 2, 3, 5, 8, 13, 16, 17, 64, 100, 1000, 10_000]:
            self.assertEqual(self.read(path, "tfrecord", split), want, f"split {split}")

    def test_a_boundary_is_found_across_blocks(self):
        want = [bytes(3 << 20), b"\xff" * (2 << 20), b"end"]
        path = self.write(b"".join(map(record, want)))
        for split in [1 << 20, (1 << 20) + 5, (3 << 20) + 16, 3 << 20]:
            self.assertEqual(self.read(path, "tfrecord", split), want, f"split {split}")

    def test_a_damaged_file_is_an_error(self):
        whole = record(b"abc") + record(b"def")
        for content, words in [(whole[:-3], "cut off"), (whole[:19] + b"\x01" + whole[20:], "no record begins at byte 19"), (whole + b"junk", "no record begins"),
                               (whole[:-6] + b"\x01" + whole[-5:], "record at byte 19 is damaged"), (whole[:-1] + b"\x01", "record at byte 19 is damaged")]:
            path = self.write(content)
            with self.assertRaisesRegex(ValueError, f"{path}: .*{words}"):
                self.read(path, "tfrecord", None)

    def test_a_damaged_record_is_found_wherever_a_file_is_cut(self):
        parts = [record(bytes([n]) * n) for n in range(40)]
        where = sum(map(len, parts[:25]))
        parts[25] = parts[25][:20] + b"\xff" + parts[25][21:]
        path = self.write(b"".join(parts))
        for split in [None, 1, 7, 100, 1000]:
            with self.assertRaisesRegex(ValueError, f"{path}: the record at byte {where} is damaged: its 25 bytes"):
                self.read(path, "tfrecord", split)

    def test_nothing_is_passed_over_where_a_header_is_damaged_or_the_file_ends(self):
        parts = [record(bytes([n]) * n) for n in range(40)]
        begins = [sum(map(len, parts[:n])) for n in range(40)]
        whole = b"".join(parts)
        for split in [None, 1, 7, 100, 300, 1000]:
            for n in [0, 1, 5, 20, 24, 25, 26, 38, 39]:
                path = self.write(whole[: begins[n]] + b"\xff" + whole[begins[n] + 1 :])
                with self.assertRaisesRegex(ValueError, f"{path}: no record begins at byte {begins[n]},", msg=f"record {n}, split {split}"):
                    self.read(path, "tfrecord", split)
                for cut in {3, 15, len(parts[n]) - 1}:
                    path = self.write(whole[: begins[n] + cut])
                    with self.assertRaisesRegex(ValueError, f"{path}: .* at byte {begins[n]}( is cut off|,)", msg=f"record {n} cut after {cut}, split {split}"):
                        self.read(path, "tfrecord", split)

    def test_compressed_files(self):
        parts = [record(b"%d" % n * n) for n in range(50)]
        want = [b"%d" % n * n for n in range(50)]
        whole, half = b"".join(parts), b"".join(parts[:20])
        rest = whole[len(half):]
        for how, compress in [("GZIP", gzip.compress), ("ZLIB", zlib.compress), ("BZ2", bz2.compress), ("XZ", lzma.compress)]:
            named = {"GZIP": "x.gz", "ZLIB": "x.deflate", "BZ2": "x.BZ2", "XZ": "x.xz"}[how]
            for content in [compress(whole), compress(half) + compress(rest), compress(half) + compress(b"") + compress(rest)]:
                for name, said in [(named, None), ("part-0", how), ("part-0", how.lower())] + [("part-0", None)] * (how in ("GZIP", "ZLIB")):
                    for split in [None, 7, 100] if name == "part-0" and said is None else [None]:
                        self.assertEqual(self.read(self.write(content, name), "tfrecord", split, compression=said), want, f"{how} {name} {said} {split}")
                master = self.served(self.write(content, named), None)
                master.todo[0]["position"] = len(half)  # where a lost task was
                self.assertEqual(list(data.records(self.write(content, named), "tfrecord")), want[20:], how)
        lines = self.write(gzip.compress(b"a\nb\n"))
        self.assertEqual(self.read(lines, "text", 5), [b"a", b"b"])
        self.assertEqual(self.read(self.write(zlib.compress(b"a\nb\n")), "text", None, compression="ZLIB"), [b"a", b"b"])
        self.assertEqual(self.read(self.write(b"x\x9c is text\n"), "text", None), [b"x\x9c is text"])
        self.assertEqual(self.read(self.write(b"a\nb\n", "x.gz"), "text", None, compression=""), [b"a", b"b"])
        self.assertEqual(self.read(self.write(gzip.compress(b"")), "tfrecord", None), [])
        self.assertEqual(self.read(self.write(gzip.compress(b"1,2\n3,4\n")), "csv", 4), [["1", "2"], ["3", "4"]])

    def test_compressed_files_that_are_not_whole(self):
        noise = random.Random(1)
        content = b"".join(record(noise.randbytes(100)) for _ in range(100))
        for how, compress in [("GZIP", gzip.compress), ("ZLIB", zlib.compress), ("BZ2", bz2.compress), ("XZ", lzma.compress)]:
            good = compress(content)
            for cut in [len(good) - 1, len(good) - 5, len(good) // 2]:
                with self.assertRaisesRegex(ValueError, f"part-0: it is cut off: the {how} stream in it has no end"):
                    self.read(self.write(good[:cut], "part-0"), "tfrecord", None, compression=how)
            for bad in [good[:-6] + bytes([good[-6] ^ 1]) + good[-5:], good[: len(good) // 2] + b"\0" * 99 + good[len(good) // 2 + 99 :], content] + [good + b"and more"] * (how in ("GZIP", "ZLIB")):
                with self.assertRaisesRegex(ValueError, "part-0: (it is damaged, or not compressed as|it is cut off|the record at byte|no record begins)"):
                    self.read(self.write(bad, "part-0"), "tfrecord", None, compression=how)
        with self.assertRaisesRegex(ValueError, "want GZIP, ZLIB, BZ2, XZ"):
            data.records("x", "text", compression="SNAPPY")
        with self.assertRaisesRegex(ValueError, 'x.zst: .* read it with tfos.data.files, or say compression=""'):
            self.read(self.write(b"a\n", "x.zst"), "text", None)

    def test_csv(self):
        rows = [["name", "text"], ["a", "x, y"], ["b", 'two\nlines and "quotes"'], ["", ""]]
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        path = self.write(text.getvalue().encode())
        self.assertEqual(self.read(path, "csv", None, header=True), rows[1:])
        path = self.write(b"h\n1,2\n3,4\n5,6\n")
        for split in range(1, 16):
            self.assertEqual(self.read(path, "csv", split, header=True), [["1", "2"], ["3", "4"], ["5", "6"]], f"split {split}")

    def test_a_piece_goes_on_where_a_lost_task_was(self):
        path = self.write(b"one\ntwo\nthree\n")
        for kind, content, at in [("text", b"one\ntwo\nthree\n", 4), ("tfrecord", b"".join(map(record, [b"one", b"two", b"three"])), 19)]:
            master = self.served(self.write(content), None)
            master.todo[0]["position"] = at
            self.assertEqual(list(data.records(path, kind)), [b"two", b"three"])

    def test_pieces_are_acknowledged_as_they_are_consumed(self):
        path = self.write(b"one\ntwo\nthree\n")
        master = self.served(path, 4)
        for n, piece in enumerate(data.pieces(path, "text", split=4)):
            for line, position in piece.records():
                piece.ack(position)
                self.assertEqual(master.positions[piece.index + 1], position)
            self.assertEqual(len(master.ended), n)
        self.assertEqual(master.ended, [(1, "done"), (2, "done"), (3, "done"), (4, "done")])

    def test_leaving_the_loop_gives_a_piece_back(self):
        path = self.write(b"one\ntwo\nthree\n")
        master = self.served(path, 4)
        found = iter(data.files(path))
        next(found)
        found.close()
        self.assertEqual(master.ended, [(1, "returned")])
        self.assertEqual(data._leased, {})

    def test_a_call_is_repeated_with_its_number_until_it_is_answered(self):
        path = self.write(b"one\n")
        master = self.served(path, None)
        master.fail = [_agent.Unavailable("no agent"), _agent.Refused(503, "no master"), {"state": "waiting"}]
        with mock.patch("time.sleep"):
            self.assertEqual(list(data.records(path, "text")), [b"one"])
        self.assertEqual([c["number"] for c in master.calls], [1, 1, 1, 1, 1, 2])
        self.assertEqual([c["client"] == master.calls[0]["client"] for c in master.calls], [True, True, True, True, False, True])

    def test_refusals(self):
        path = self.write(b"one\n")
        for code, error in [("lost", data.LeaseLost), ("no files", FileNotFoundError), ("invalid", ValueError), ("failed", data.Error)]:
            self.served(path, None).fail = [{"state": "refused", "code": code, "reason": "so it is"}]
            with self.assertRaisesRegex(error, "so it is"):
                list(data.records(path, "text"))

    def test_another_piece_is_read_after_going_back(self):
        path = self.write(b"one\ntwo\n")
        master = self.served(path, 4)
        found = iter(data.records(path, "text", split=4))
        self.assertEqual(next(found), b"one")
        master.fail = [{"state": "refused", "code": "not held", "reason": "it went back"}]
        with self.assertLogs("tfos.data", "WARNING"):
            self.assertEqual(list(found), [b"two"])
        self.assertEqual(master.ended, [(2, "done")])

    def test_one_iteration_too_many(self):
        path = self.write(b"one\n")
        self.served(path, None)
        lines = data.records(path, "text", epochs=1)
        list(lines)
        with self.assertRaisesRegex(ValueError, "epochs=2"):
            list(lines)

    def test_consumed_in_any_order(self):
        path = self.write(b"a\nb\nc\nd\n")
        master = self.served(path, None)
        batches = data.records(path, "text")._batches(4)
        batch, positions = next(batches)
        self.assertEqual((batch, positions), ([b"a", b"b", b"c", b"d"], [(1, 2), (1, 4), (1, 6), (1, 8)]))
        data.consumed([(1, 4), (1, 6)])
        piece = data._leased[1]
        piece._flush()
        self.assertEqual(master.positions, {})
        data.consumed([(1, 2)])
        piece._flush()
        self.assertEqual(master.positions, {1: 6})
        self.assertEqual(list(batches), [])
        self.assertEqual(master.ended, [])
        data.consumed([(1, 8)])
        self.assertEqual(master.ended, [(1, "done")])

    def test_nobody_waits_with_records_in_hand(self):
        path = self.write(b"a\nb\nc\nd\n")
        master = self.served(path, 4)
        batches = data.records(path, "text", split=4)._batches(3)
        self.assertEqual(next(batches)[0], [b"a", b"b", b"c"])
        master.fail = [{"state": "waiting"}]
        self.assertEqual(next(batches)[0], [b"d"])
        self.assertEqual(master.calls[-1]["next"]["now"], True)
        self.assertEqual(list(batches), [])
        self.assertNotIn("now", master.calls[-1]["next"])
        self.assertEqual(master.calls[-1]["number"], master.calls[-2]["number"])

    def test_an_acknowledgement_does_not_wait_for_a_piece(self):
        path = self.write(b"a\nb\n")
        master = self.served(path, None)
        batches = data.records(path, "text")._batches(3)
        positions = [(1, 2), (1, 4)]
        waiting, freed = threading.Event(), threading.Event()
        answer = master.call

        def call(method, path, body, timeout):
            if "next" in body and master.pieces and not master.todo and not master.ended:
                waiting.set()
                freed.wait(10)
                return {"state": "waiting"}
            return answer(method, path, body, timeout)

        with mock.patch.object(_agent, "call", call):
            found = []
            reader = threading.Thread(target=lambda: found.extend(batches))
            reader.start()
            waiting.wait(10)
            while 1 not in data._leased or not data._leased[1]._track._ended:
                time.sleep(0.001)
            data.consumed(positions)
            freed.set()
            reader.join(10)
        self.assertEqual(master.ended, [(1, "done")])
        self.assertFalse(reader.is_alive())

    def test_batches_that_are_given_up_are_given_back(self):
        path = self.write(b"a\nb\nc\nd\n")
        master = self.served(path, 4)
        batches = data.records(path, "text", split=4)._batches(3)
        data.consumed(next(batches)[1][:1])
        batches.close()
        self.assertEqual(master.ended, [(1, "returned"), (2, "returned")])
        self.assertEqual((master.positions[1], master.positions[2]), (2, 4))

    def test_save_tells_what_is_consumed_first(self):
        path = self.write(b"a\nb\n")
        master = self.served(path, None)
        for piece in data.pieces(path, "text"):
            piece.ack(2, now=False)
            data.save(7)
            break
        kinds = [next(k for k in ("next", "ack", "save") if k in c) for c in master.calls]
        self.assertEqual(kinds[:3], ["next", "ack", "save"])
        self.assertEqual(master.calls[2]["save"], {"step": 7, "alone": False})
        self.assertTrue(data.restore(7))


if __name__ == "__main__":
    unittest.main()
