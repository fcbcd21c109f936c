"""Rows from a task of Spark to programs: it asks the driver's desk for a worker, and brings that worker's agent chunks of rows."""

import collections
import json
import queue
import socket
import threading
import time
from typing import NamedTuple

from tfos import _rows, _wire
from tfos._wire import CHUNK, CONSUMED, DONE, OPEN, OVER, PLACE, RESULT, STATE

_ANSWER = 60  # seconds for an answer from the desk, which answers after 15 s at most


class Failed(RuntimeError):
    """The rows cannot be fed: a worker failed, and this is what it said; or the job is over."""


class _Superseded(Failed):
    """Another attempt feeds the partition."""


class _Desk:
    """The driver's: it knows the workers."""

    def __init__(self, ticket):
        self._context = _wire.context(ticket.identity)
        try:
            self._wire = _wire.Wire(_wire.connect(self._context, ticket.address, "driver"))
        except OSError as e:
            raise Failed(f"the job cannot be fed: its driver does not answer at {ticket.address}: {e}") from e

    def place(self, opening):
        """The address of the agent that takes a stream; None: nobody wants its rows, or they are consumed already."""
        while True:
            try:
                self._wire.send(OPEN, opening)
                if not self._wire.ready(_ANSWER):
                    raise ConnectionError(f"no answer for {_ANSWER} s")
                kind, head, _ = self._wire.recv()
            except OSError as e:
                raise Failed(f"the job cannot be fed: its driver is gone ({e})") from e
            if kind == PLACE:
                return head["address"]
            if head["why"] in ("terminated", "done"):
                return None
            if head["why"] == "superseded":
                raise _Superseded(head["text"])
            if head["why"] != "wait":
                raise Failed(head.get("text") or "the job has failed")

    def agent(self, address):
        return _wire.Wire(_wire.connect(self._context, address, "agent"))

    def done(self):
        try:
            self._wire.send(DONE, {})
        except OSError as e:
            raise Failed(f"the driver is gone ({e})") from e

    def close(self):
        self._wire.close()


class _Chunk(NamedTuple):
    number: int
    head: bytes
    buffers: list
    size: int


def feed(ticket, opening, timeout, chunks):
    """Feed a stream of chunks, which are pairs of rows' number and what _rows made of them, and yield the results that come
    back, one for each row and in order.

    opening is the head of OPEN, whose attempt grows with each try of the same stream. It raises Failed with the worker's own words
    when the worker fails, and when a program that is there takes nothing for timeout seconds.
    """
    f = _Feeder(ticket, opening, timeout, chunks)
    try:
        yield from f.run()
    finally:
        f.close()


def share(ticket, opening, timeout, parts, encode, tasks, shift):
    """Feed a partition to all of these tasks, the rows of each of its parts in equal shares. shift says to whom rows go that are over.

    Each task's share is a stream of its own.
    """
    shares = [_Share(ticket, {**opening, "stream": f"{opening['stream']}/{i}", "task": t}, timeout) for i, t in enumerate(tasks)]
    try:
        for part in parts:
            for i, s in enumerate(shares):
                place = (i + shift) % len(shares)
                rows = part[len(part) * place // len(shares) : len(part) * (place + 1) // len(shares)]
                if len(rows):
                    s.put((len(rows), encode(rows)))
            shift += len(part)
            if any(s.error for s in shares):
                break
    except BaseException:
        for s in shares:
            s.end(_GIVEN_UP)
        raise
    failed = any(s.error for s in shares)
    for s in shares:
        s.end(_GIVEN_UP if failed else None)
    for s in shares:
        if s.error:
            raise s.error


class _GivenUp(Exception):
    """There would have been more rows of a partition."""


_GIVEN_UP = object()


class _Share:
    """Feeds one task's share of a partition, in a thread."""

    def __init__(self, ticket, opening, timeout):
        self.error = None
        self._queue = queue.Queue(1)
        self._ended = False  # the last item was taken
        self._thread = threading.Thread(target=self._run, args=(ticket, opening, timeout), daemon=True)
        self._thread.start()

    def put(self, chunk):
        self._queue.put(chunk)

    def end(self, last):
        """None: that was all. _GIVEN_UP: there would have been more."""
        self._queue.put(last)
        self._thread.join()

    def _chunks(self):
        while not self._ended:
            item = self._queue.get()
            self._ended = item is None or item is _GIVEN_UP
            if item is _GIVEN_UP:
                raise _GivenUp
            if item is not None:
                yield item

    def _run(self, ticket, opening, timeout):
        try:
            for _ in feed(ticket, opening, timeout, self._chunks()):
                pass
        except _GivenUp:
            pass
        except BaseException as e:
            self.error = e
        while not self._ended:  # nobody wants the rest
            self._ended = self._queue.get() in (None, _GIVEN_UP)


class _Feeder:
    def __init__(self, ticket, opening, timeout, chunks):
        self._desk = _Desk(ticket)
        self._opening = {**opening, "host": socket.gethostname(), "from": 0}
        self._timeout = timeout
        self._chunks, self._left = enumerate(chunks), True
        # Chunks that are not known to be consumed: first those that the program holds, then those on their way.
        self._held, self._on_way = collections.deque(), collections.deque()
        self._until = 0  # chunks before this number are consumed or held
        self._bytes = 0  # on their way
        self._window = 0  # how many may be
        self._number = 0  # of the next chunk
        self._wire = None

    def close(self):
        self._desk.close()
        if self._wire is not None:
            self._wire.close()

    def run(self):
        lost = ""
        while True:
            address = self._desk.place({**self._opening, "lost": lost})
            if address is None:
                break
            try:
                if self._open(address):
                    over = yield from self._exchange()
                    if over:
                        break
            except OSError:
                pass  # the desk knows what became of the worker
            if self._wire is not None:
                self._wire.close()
            lost = address
        self._desk.done()

    def _open(self, address):
        """Whether an agent takes the stream. What it does not have of it yet is sent."""
        self._wire = self._desk.agent(address)
        self._wire.send(OPEN, self._opening)
        kind, head, _ = self._wire.recv()
        if kind == OVER:
            return self._over(head)
        self._window, self._next = head["window"], head["next"]
        self._moved = time.monotonic()
        self._on_way.extendleft(reversed(self._held))  # it is another program, perhaps
        self._held.clear()
        self._until, self._bytes = 0, sum(c.size for c in self._on_way)
        self._consumed(head["consumed"], 0)
        for c in self._on_way:
            if c.number >= self._next:
                self._wire.send_raw(CHUNK, c.head, c.buffers)
        return True

    def _exchange(self):
        """Send and hear until all is consumed, or nobody wants it: then True. False: the desk is to be asked."""
        while self._left or self._held or self._on_way:
            room = self._left and (not self._on_way or self._bytes < self._window)
            if room:
                self._send()
            while self._wire.ready(0 if room else None):
                kind, head, body = self._wire.recv()
                if kind == RESULT:
                    self._moved = time.monotonic()
                    yield from _rows.decode(head["meta"], body)
                elif kind == CONSUMED:
                    self._moved = time.monotonic()
                    self._consumed(head["next"], head["held"])
                    break
                elif kind == STATE:
                    self._idle(head)
                elif kind == OVER:
                    return self._over(head)
        return True

    def _send(self):
        """Make the next chunk and send it, unless the agent has it from an attempt before."""
        number, made = next(self._chunks, (self._number, None))
        if made is None:
            self._left = False
            rows, meta, buffers = 0, None, []
        else:
            rows, (meta, buffers) = made
        head = {"n": number, "rows": rows}
        if made is None:
            head["last"] = True
        else:
            head["meta"] = meta
        size = sum(len(b) for b in buffers)
        chunk = _Chunk(number, json.dumps(head, separators=(",", ":")).encode(), buffers, size)
        self._number = number + 1
        if number < self._opening["from"]:
            return
        self._on_way.append(chunk)
        self._bytes += size
        self._consumed(0, 0)
        if number >= self._next:
            self._wire.send_raw(CHUNK, chunk.head, chunk.buffers)

    def _consumed(self, until, held):
        """Chunks before until are consumed, and those before held count in no window."""
        self._opening["from"] = max(until, self._opening["from"])
        self._until = max(until, held, self._until)
        while self._on_way and self._on_way[0].number < self._until:
            self._held.append(self._on_way.popleft())
            self._bytes -= self._held[-1].size
        while self._held and self._held[0].number < self._opening["from"]:
            self._held.popleft()

    def _idle(self, state):
        silent = min(state["idle_ms"] / 1000, time.monotonic() - self._moved)
        if state["live"] and (self._held or self._on_way) and silent >= self._timeout:
            raise Failed(f"the program has taken no rows for {silent:.0f} s, though it runs; feed_timeout is {self._timeout} s")

    def _over(self, word):
        """Whether the stream ends here, as its worker wants no more. A worker's failure is the desk's to tell: then the driver knows."""
        if word["why"] == "superseded":
            raise _Superseded(word["text"])
        return word["why"] == "terminated"
