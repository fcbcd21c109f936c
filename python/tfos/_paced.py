"""Rows from Spark for workers that train in step: each is handed as many as the others, and all end together.

How many a worker may use is decided at the driver, in internal/feed/pace.go, and told by the agent.
"""

import collections
import threading
import time

from tfos import _rows, _source
from tfos._wire import END, LIMIT


class PeerLost(RuntimeError):
    """A worker that trains in step with this one is lost: all begin anew."""


class Paced:
    """The rows of a queue as arrays, in batches of which each worker gets as many as the others."""

    _current = None  # this process's newest

    def __init__(self, qname):
        Paced._current = self
        self._source = _source.Source(qname, pace=True)
        self._reading = threading.Lock()  # held by the thread that hears the agent: tf.data has its own
        self._lost = threading.Event()  # another worker is lost
        self._parts = collections.deque()  # [ticket, arrays, rows, how many of them were handed out]
        self._have = 0  # rows in parts that were not
        self._used = 0  # rows that were handed out
        self._limit, self._final = 0, False  # how many may be, and whether that is all
        self._ended = False  # the agent has no more
        self._done = []  # tickets of chunks whose rows were all handed out
        self._held = {}  # tickets of chunks that are not done, which the agent was not told of; values mean nothing

    def first(self):
        """The first rows that come, as an array or a tuple of them; None: there are none."""
        while not self._parts and not self._ended:
            self._hear()
        return self._parts[0][1] if self._parts else None

    def batches(self, n, partial):
        """Batches of n rows. The last one may be smaller if partial says so, and is then of the same size for all workers."""
        while True:
            part = self._parts[0] if self._parts and self._parts[0][3] else (0, 0, 0, 0)
            if self._done or part[3]:
                self._source.ack(self._done, (part[0], part[3]))
                for ticket in self._done:
                    self._held.pop(ticket, None)
                self._done = []
            left = self._limit - self._used
            size = n if left >= n else left if self._final else None
            if size is None or self._have < size:
                # More rows are taken even where there are enough: a worker that has fewer waits for partitions that come after those
                # which end with these rows. As shares are equal, they are no more than a window of each feeder.
                self._hear()
            elif size == n or partial and size:
                yield self._cut(size)
            else:
                return

    @classmethod
    def peer_lost(cls, timeout):
        """Whether a worker that trains in step with this process is lost, as the agent says within so many seconds: what the program
        failed with may have come of that."""
        self = cls._current
        if self is None:
            return False
        if not self._reading.acquire(blocking=False):
            return self._lost.wait(timeout)
        until = time.monotonic() + timeout
        try:
            while not self._lost.is_set() and self._source.ready(max(0, until - time.monotonic())):
                self._take(more=False)
        except Exception:
            pass  # what the agent said is no word of a loss, or it was
        finally:
            self._reading.release()
        return self._lost.is_set()

    def _hear(self):
        with self._reading:
            self._take()

    def _take(self, more=True):
        kind, head, body = self._source.hear(self._held, more and not self._ended)
        if kind == END:
            self._ended = True
        elif kind == LIMIT:
            self._limit, self._final = head["rows"], head["final"]
            if head["lost"]:
                self._lost.set()
                raise PeerLost("a worker that trains in step with this one is lost: all begin anew")
        elif not head["rows"]:
            self._source.ack([head["ticket"]])
        elif not head.get("share"):
            raise ValueError("workers that take as many rows as each other are to be fed evenly: cluster.train(..., even=True)")
        else:
            self._held[head["ticket"]] = None
            self._parts.append([head["ticket"], _rows.decode_columns(head["meta"], body), head["rows"], head.get("skip", 0)])
            self._have += head["rows"] - head.get("skip", 0)

    def _cut(self, n):
        import numpy as np

        found, left = [], n
        while left:
            part = self._parts[0]
            ticket, arrays, rows, at = part
            m = min(left, rows - at)
            found.append(tuple(a[at : at + m] for a in arrays) if isinstance(arrays, tuple) else arrays[at : at + m])
            part[3] += m
            left -= m
            if part[3] == rows:
                self._parts.popleft()
                self._done.append(ticket)
        self._have -= n
        self._used += n
        if len(found) == 1:
            return found[0]
        if isinstance(found[0], tuple):
            return tuple(np.concatenate(column) for column in zip(*found))
        return np.concatenate(found)

    def close(self):
        self._source.close()
