import fcntl
import os
import socket
import tempfile
import threading
import unittest

from tfos import _feed, _paced, _rows, _wire
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
        self._connected, self.heard = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def wire(self):
        """The connection, for a test that speaks itself."""
        self._connected.wait()
        return self._wire

    def _serve(self):
        sock, _ = self._listener.accept()
        wire, ticket = _wire.Wire(sock), 0
        self._wire = wire
        self._connected.set()
        try:
            while True:
                kind, head, body = wire.recv()
                self.said.append((kind, head, bytes(body)))
                self.heard.set()
                if kind != _wire.TAKE:
                    continue
                for _ in range(head["chunks"]):
                    ticket += 1
                    if self._chunks:
                        rows, more = self._chunks.pop(0)
                        meta, buffers = _rows.encode(rows)
                        wire.send(_wire.CHUNK, {"n": ticket, "rows": len(rows), "meta": meta, "ticket": ticket, **more}, *buffers)
                    elif self._end:
                        self._end = False
                        wire.send(_wire.END, {})
        except OSError:
            pass
        finally:
            sock.close()

    def close(self, feed):
        feed._queue._source.close()
        self.end()

    def end(self):
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
            self.assertEqual(feed.next_batch(9), [5])
            self.assertTrue(feed.should_stop())
        finally:
            agent.close(feed)
        acks = [(h["tickets"], h["part"], h["rows"]) for k, h, _ in agent.said if k == _wire.ACK and not h.get("held")]
        self.assertEqual(acks, [([], 1, 2), ([1], 2, 1)])

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
        results = [(h["ticket"], h["rows"]) for k, h, _ in agent.said if k == _wire.RESULT]
        self.assertEqual(results, [(1, 2), (1, 1)])

    def test_a_batch_goes_on_where_another_partition_comes_between(self):
        rows = {"results": True}
        agent = FakeFeed([([1, 2], {"stream": "a", **rows}), ([10, 11], {"stream": "b", **rows}), ([3, 4], {"stream": "a", **rows}),
                          ([], {"stream": "a", "last": True, **rows}), ([12], {"stream": "b", "last": True, **rows})])  # fmt: skip
        feed = TFNode.DataFeed(Manager(), train_mode=False)
        try:
            for batch in ([1, 2, 3, 4], [10, 11, 12]):
                self.assertEqual(feed.next_batch(4), batch)
                feed.batch_results(batch)
            self.assertEqual(feed.next_batch(4), [])
            self.assertTrue(feed.should_stop())
        finally:
            agent.close(feed)
        answers = [(h["ticket"], list(_rows.decode(h["meta"], bytearray(b)))) for k, h, b in agent.said if k == _wire.RESULT]
        self.assertEqual(answers, [(1, [1, 2]), (3, [3, 4]), (2, [10, 11]), (5, [12])])

    def test_the_agent_hears_of_each_batch_and_what_was_done_before_is_skipped(self):
        agent = FakeFeed([([1, 2, 3, 4, 5], {"stream": "a", "skip": 1})])
        feed = TFNode.DataFeed(Manager())
        try:
            self.assertEqual(feed.next_batch(2), [2, 3])
            self.assertEqual(feed.next_batch(1), [4])
            self.assertEqual(feed.next_batch(9), [5])
        finally:
            agent.close(feed)
        parts = [(h["part"], h["rows"]) for k, h, _ in agent.said if k == _wire.ACK and h.get("part")]
        self.assertEqual(parts, [(1, 3), (1, 4)])

    def test_the_agent_hears_once_of_each_chunk_that_waits_for_more(self):
        agent = FakeFeed([([i], {"stream": "a", "results": True}) for i in range(5)])
        feed = TFNode.DataFeed(Manager(), train_mode=False)
        try:
            self.assertEqual(feed.next_batch(9), [0, 1, 2, 3, 4])
        finally:
            agent.close(feed)
        held = [t for k, h, _ in agent.said if k == _wire.ACK and h.get("held") for t in h["tickets"]]
        self.assertEqual(len(held), len(set(held)))

    def test_descriptors_of_1024_and_more(self):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 1100:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard), hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        a, b = socket.socketpair()
        high = socket.socket(fileno=fcntl.fcntl(a.fileno(), fcntl.F_DUPFD, 1030))
        try:
            wire = _wire.Wire(high)
            self.assertFalse(wire.ready(0))
            b.sendall(b"x")
            self.assertTrue(wire.ready(None))
        finally:
            for s in (a, b, high):
                s.close()

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
        self.assertIn(_wire.TERMINATE, [k for k, _, _ in agent.said])


class PacedRows(unittest.TestCase):
    def batches(self, script, n, partial=True):
        """What comes of a script of chunks and limits, which the agent says when it is asked for a chunk."""
        agent = FakeFeed([], end=False)
        rows = _paced.Paced("input")
        try:
            wire, ticket = agent.wire(), 0
            for item in script:
                if isinstance(item, dict):
                    wire.send(_wire.LIMIT, item)
                else:
                    ticket += 1
                    meta, buffers = _rows.encode(item)
                    wire.send(_wire.CHUNK, {"n": ticket, "rows": len(item), "meta": meta, "ticket": ticket, "stream": "a", "share": True}, *buffers)
            return [b.tolist() for b in rows.batches(n, partial)]
        finally:
            rows.close()
            agent.end()

    @staticmethod
    def limit(rows, final=False):
        return {"rows": rows, "final": final, "lost": False}

    def test_a_worker_that_has_enough_rows_takes_more_lest_their_feeders_wait(self):
        agent = FakeFeed([([[1.0], [2.0], [3.0]], {"stream": str(n), "share": True}) for n in range(4)], end=False)
        rows = _paced.Paced("input")
        try:
            taken = threading.Thread(target=lambda: list(rows.batches(2, True)))
            taken.start()
            wire = agent.wire()
            while sum(len(h["tickets"]) for k, h, _ in agent.said if k == _wire.ACK and h.get("held")) < 4:
                self.assertTrue(agent.heard.wait(60))
                agent.heard.clear()
            wire.send(_wire.LIMIT, self.limit(0, True))
            taken.join()
        finally:
            rows.close()
            agent.end()

    def test_a_lost_peer_ends_the_program(self):
        with self.assertRaises(_paced.PeerLost):
            self.batches([[[1.0]], {"rows": 0, "final": False, "lost": True}], 1)
        self.assertTrue(_paced.Paced.peer_lost(0))

    def test_a_program_that_failed_hears_whether_a_peer_was_lost(self):
        for lost in (False, True):
            agent = FakeFeed([], end=False)
            rows = _paced.Paced("input")
            try:
                if lost:
                    agent.wire().send(_wire.LIMIT, {"rows": 0, "final": False, "lost": True})
                self.assertEqual(_paced.Paced.peer_lost(60 if lost else 0), lost)
            finally:
                rows.close()
                agent.end()

    def test_all_batches_are_within_the_limit(self):
        script = [self.limit(5), [[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]], self.limit(5, True)]
        self.assertEqual(self.batches(script, 2), [[[1.0], [2.0]], [[3.0], [4.0]], [[5.0]]])
        self.assertEqual(self.batches(script, 2, partial=False), [[[1.0], [2.0]], [[3.0], [4.0]]])

    def test_no_worker_has_more_than_one_without_rows(self):
        self.assertEqual(self.batches([[[1.0]], self.limit(0, True)], 2), [])

    def test_rows_that_are_not_shared_are_refused(self):
        agent = FakeFeed([([1, 2], {"stream": "a"})])
        rows = _paced.Paced("input")
        try:
            with self.assertRaisesRegex(ValueError, "even=True"):
                rows.first()
        finally:
            rows.close()
            agent.end()


class SharedPartitions(unittest.TestCase):
    def share(self, parts, tasks, shift=0):
        fed = {}

        def feed(ticket, opening, timeout, chunks):
            rows = fed.setdefault(opening["task"], [])
            for n, made in chunks:
                if opening["task"] == "broken":
                    raise _feed.Failed("broken failed")
                rows.extend(made)
                yield from ()

        kept, _feed.feed = _feed.feed, feed
        try:
            _feed.share(None, {"stream": "1/0"}, 60, parts, lambda rows: rows, tasks, shift)
        finally:
            _feed.feed = kept
        return fed

    def test_shares_differ_by_one_row_at_most(self):
        for sizes in ([7], [1, 1, 1], [5, 4, 3, 2, 1], [1024, 1]):
            parts, at = [], 0
            for n in sizes:
                parts.append(list(range(at, at + n)))
                at += n
            for shift in range(3):
                fed = self.share(parts, ["a", "b", "c"], shift)
                self.assertEqual(sorted(sum(fed.values(), [])), list(range(at)))
                lengths = [len(v) for v in fed.values()]
                self.assertLessEqual(max(lengths) - min(lengths), 1, (sizes, shift))

    def test_a_share_that_fails_fails_the_partition(self):
        with self.assertRaisesRegex(_feed.Failed, "broken failed"):
            self.share([[1, 2, 3]] * 100, ["a", "broken"])

    def test_an_error_of_the_rows_is_raised_as_it_is(self):
        def parts():
            yield [1, 2, 3]
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            self.share(parts(), ["a", "b"])


class FakeAgent:
    """An agent's end of a feeder's connection: window bytes may be on their way. Its script is a generator that is sent what comes."""

    def __init__(self, script, opened):
        self.sock, other = socket.socketpair()
        self._wire, self.came = _wire.Wire(other), []
        self._thread = threading.Thread(target=self._serve, args=(script, opened))
        self._thread.start()

    def _serve(self, script, opened):
        try:
            self._wire.recv()
            self._wire.send(_wire.OPENED, opened)
            while True:
                kind, head, _ = self._wire.recv()
                self.came.append(head["n"])
                for kind, head in script(head):
                    self._wire.send(kind, head)
        except OSError:
            pass
        finally:
            self._wire.close()

    def join(self):
        self._thread.join()


class FakeDesk:
    """The driver's desk: it answers with these in turn, each a FakeAgent, None, or an exception."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.openings, self.was_done = [], False

    def __call__(self, ticket):
        return self

    def place(self, opening):
        self.openings.append(opening)
        found = self._answers.pop(0)
        if isinstance(found, Exception):
            raise found
        self._agent = found
        return found and "agent"

    def agent(self, address):
        return _wire.Wire(self._agent.sock)

    def done(self):
        self.was_done = True

    def close(self):
        pass


class Feeder(unittest.TestCase):
    def feed(self, desk, chunks, timeout=60):
        kept, _feed._Desk = _feed._Desk, desk
        try:
            return list(_feed.feed(None, {"queue": "input", "stream": "a", "attempt": 0, "results": True}, timeout, chunks))
        finally:
            _feed._Desk = kept

    @staticmethod
    def chunks(n):
        return ((1, _rows.encode([bytes(100)])) for _ in range(n))

    def test_what_the_program_holds_counts_in_no_window(self):
        def holds_all(head):
            if not head.get("last"):
                return [(_wire.CONSUMED, {"next": 0, "held": head["n"] + 1})]
            return [(_wire.CONSUMED, {"next": head["n"] + 1, "held": head["n"] + 1})]

        agent = FakeAgent(holds_all, {"next": 0, "consumed": 0, "window": 150})
        desk = FakeDesk(agent)
        self.feed(desk, self.chunks(20))
        agent.join()
        self.assertEqual(agent.came, list(range(21)))
        self.assertTrue(desk.was_done)

    def test_no_more_than_the_window_is_on_its_way(self):
        came = []

        def slow(head):
            came.append(head["n"])
            return [(_wire.STATE, {"live": True, "idle_ms": 10**6})] if len(came) == 2 else []

        agent = FakeAgent(slow, {"next": 0, "consumed": 0, "window": 150})
        with self.assertRaisesRegex(_feed.Failed, "has taken no rows for .*feed_timeout is 0 s"):
            self.feed(FakeDesk(agent), self.chunks(20), timeout=0)
        agent.join()
        self.assertEqual(came, [0, 1])

    def test_the_next_agent_gets_what_is_not_consumed(self):
        def dies(head):
            if head["n"] == 2:
                raise ConnectionError
            return [(_wire.CONSUMED, {"next": 1, "held": 2})] if head["n"] == 1 else []

        first = FakeAgent(dies, {"next": 0, "consumed": 0, "window": 150})
        second = FakeAgent(lambda head: [(_wire.CONSUMED, {"next": head["n"] + 1, "held": head["n"] + 1})], {"next": 1, "consumed": 1, "window": 150})
        desk = FakeDesk(first, second)
        self.feed(desk, self.chunks(5))
        second.join()
        self.assertEqual(second.came, [1, 2, 3, 4, 5])
        self.assertEqual([(o["from"], o["lost"]) for o in desk.openings], [(0, ""), (1, "agent")])

    def test_a_failure_is_told_by_the_desk(self):
        agent = FakeAgent(lambda head: [(_wire.OVER, {"why": "failed", "text": "what the agent heard"})], {"next": 0, "consumed": 0, "window": 150})
        desk = FakeDesk(agent, _feed.Failed("what the driver knows"))
        with self.assertRaisesRegex(_feed.Failed, "what the driver knows"):
            self.feed(desk, self.chunks(1))
        agent.join()
        self.assertFalse(desk.was_done)

    def test_a_worker_that_wants_no_more_ends_the_stream(self):
        agent = FakeAgent(lambda head: [(_wire.OVER, {"why": "terminated"})], {"next": 0, "consumed": 0, "window": 150})
        desk = FakeDesk(agent)
        self.feed(desk, self.chunks(10))
        agent.join()
        self.assertTrue(desk.was_done)


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
