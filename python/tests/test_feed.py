import os
import socket
import tempfile
import threading
import unittest

from tfos import _feed, _rows
from tfos.compat import TFManager, TFNode, marker
from tfos.compat.node import Manager


class FakeFeed:
    """An agent's end of a program's connection: it hands out the chunks it is given, and keeps what the program says."""

    def __init__(self, chunks, end=True):
        self.said = []  # (kind, head, body)
        self._dir = tempfile.TemporaryDirectory(prefix="tfos-test-")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = os.path.join(self._dir.name, "feed")
        self._listener.bind(path)
        self._listener.listen()
        os.environ["TFOS_FEED"], os.environ["TFOS_INCARNATION"] = path, "1"
        self._chunks, self._end = list(chunks), end
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        sock, _ = self._listener.accept()
        wire, ticket = _feed.Wire(sock), 0
        try:
            while True:
                kind, head, body = wire.recv()
                self.said.append((kind, head, bytes(body)))
                if kind != _feed.TAKE:
                    continue
                for _ in range(head["chunks"]):
                    ticket += 1
                    if self._chunks:
                        rows, more = self._chunks.pop(0)
                        meta, buffers = _rows.encode(rows)
                        wire.send(_feed.CHUNK, {"n": ticket, "rows": len(rows), "meta": meta, "ticket": ticket, **more}, *buffers)
                    elif self._end:
                        self._end = False
                        wire.send(_feed.END, {})
        except OSError:
            pass
        finally:
            sock.close()

    def close(self, feed):
        feed._queue._source.close()
        self._thread.join()
        self._listener.close()
        self._dir.cleanup()
        del os.environ["TFOS_FEED"], os.environ["TFOS_INCARNATION"]


class DataFeedOfAnAgent(unittest.TestCase):
    def test_batches_go_across_chunks_and_are_acknowledged_by_the_next(self):
        agent = FakeFeed([([1, 2, 3], {"stream": "a"}), ([4, 5], {"stream": "b"})])
        feed = TFNode.DataFeed(Manager())
        try:
            self.assertEqual(feed.next_batch(2), [1, 2])
            self.assertEqual(feed.next_batch(2), [3, 4])
            self.assertFalse(feed.should_stop())
            self.assertEqual([h["tickets"] for k, h, _ in agent.said if k == _feed.ACK and not h.get("held")], [])
            self.assertEqual(feed.next_batch(9), [5])
            self.assertTrue(feed.should_stop())
        finally:
            agent.close(feed)
        self.assertIn([1], [h["tickets"] for k, h, _ in agent.said if k == _feed.ACK])

    def test_batches_to_be_answered_end_with_their_partition(self):
        agent = FakeFeed([([1, 2, 3], {"stream": "a", "results": True}), ([], {"stream": "a", "results": True, "last": True}), ([4], {"stream": "b", "results": True})])
        feed = TFNode.DataFeed(Manager(), train_mode=False)
        try:
            self.assertEqual(feed.next_batch(9), [1, 2, 3])
            feed.batch_results(["a", "b"])
            with self.assertRaisesRegex(ValueError, "2 results for 1 rows"):
                feed.batch_results(["c", "d"])
            feed.batch_results(["c"])
            self.assertEqual(feed.next_batch(9), [4])
        finally:
            agent.close(feed)
        results = [(h["ticket"], h["rows"]) for k, h, _ in agent.said if k == _feed.RESULT]
        self.assertEqual(results, [(1, 2), (1, 1)])

    def test_input_mapping_makes_columns(self):
        agent = FakeFeed([([(1, "a"), (2, "b")], {"stream": "a"})])
        feed = TFNode.DataFeed(Manager(), input_mapping={"y": "label", "x": "image"})
        try:
            self.assertEqual(feed.next_batch(9), {"image": [1, 2], "label": ["a", "b"]})
            self.assertEqual(feed.next_batch(9), {"image": [], "label": []})
        finally:
            agent.close(feed)

    def test_terminate_says_so(self):
        agent = FakeFeed([([1], {"stream": "a"})])
        feed = TFNode.DataFeed(Manager())
        feed.terminate()
        self.assertTrue(feed.should_stop())
        agent.close(feed)
        self.assertIn(_feed.TERMINATE, [k for k, _, _ in agent.said])


class DataFeedOfAManager(unittest.TestCase):
    def test_datafeed(self):
        mgr = TFManager.start(b"abc", ["input", "output"], "local")
        try:
            q = mgr.get_queue("input")
            for i in range(10):
                q.put(i)
            q.put(marker.EndPartition())
            q.put(None)
            feed = TFNode.DataFeed(mgr)
            self.assertFalse(feed.done_feeding)
            self.assertEqual(feed.next_batch(2), [0, 1])
            self.assertEqual(feed.next_batch(4), [2, 3, 4, 5])
            self.assertFalse(feed.done_feeding)
            self.assertEqual(feed.next_batch(10), [6, 7, 8, 9])  # more than there are
            self.assertTrue(feed.done_feeding)
            self.assertTrue(feed.should_stop())
            feed.batch_results([7])
            self.assertEqual(mgr.get_queue("output").get(), 7)
        finally:
            mgr.shutdown()

    def test_values_are_shared(self):
        mgr = TFManager.start(b"abc", ["input"], "local")
        try:
            mgr.set("state", "running")
            self.assertEqual(mgr.get("state")._getvalue(), "running")
        finally:
            mgr.shutdown()
