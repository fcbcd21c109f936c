"""Rows between Spark's tasks and programs: the frames of internal/feed/frame.go, and both who feed and who take.

A feeder asks the driver's desk for a worker, and brings that worker's agent chunks of rows. A program takes chunks from its agent,
says when it is done with them, and answers rows where it is asked to.
"""

import collections
import json
import math
import os
import queue
import select
import socket
import ssl
import struct
import tempfile
import threading
import time
from typing import NamedTuple

from tfos import _agent, _rows

(OPEN, OPENED, CHUNK, CONSUMED, RESULT, STATE, OVER, HELLO, TAKE, ACK, END, TERMINATE, FAIL, PLACE, DONE, LIMIT) = range(1, 17)

_HEADER = struct.Struct(">BIQ")
_SMALL = 64 << 10  # buffers up to this are joined before they are sent

# How long a connection may take to be made, and an answer from the desk, which answers after 15 s at most, in seconds.
_CONNECT = 20
_ANSWER = 60


class Failed(RuntimeError):
    """The rows cannot be fed: a worker failed, and this is what it said; or the job is over."""


class _Superseded(Failed):
    """Another attempt feeds the partition."""


class Wire:
    """Frames over a connection."""

    def __init__(self, sock):
        self._sock = sock
        self._poll = select.poll()  # select.select knows no descriptors from 1024 on
        self._poll.register(sock, select.POLLIN)

    def send(self, kind, head, *buffers):
        h = json.dumps(head, separators=(",", ":")).encode()
        self.send_raw(kind, h, buffers)

    def send_raw(self, kind, head, buffers=()):
        total = sum(len(b) for b in buffers)
        first = _HEADER.pack(kind, len(head), total) + head
        if total <= _SMALL:
            self._sock.sendall(b"".join((first, *buffers)))
            return
        self._sock.sendall(first)
        for b in buffers:
            self._sock.sendall(b)

    def ready(self, timeout):
        """Whether something can be read, or the other side is gone, within so many seconds; None: however long it takes."""
        pending = getattr(self._sock, "pending", None)
        if pending is not None and pending() > 0:
            return True
        return bool(self._poll.poll(None if timeout is None else math.ceil(timeout * 1000)))

    def recv(self):
        """The next frame: kind, head, body. It raises ConnectionError when there is none."""
        header = self._exactly(_HEADER.size)
        kind, head, body = _HEADER.unpack(header)
        h = self._exactly(head)
        return kind, json.loads(bytes(h)) if h else {}, self._exactly(body)

    def _exactly(self, n):
        b = bytearray(n)
        view, at = memoryview(b), 0
        while at < n:
            got = self._sock.recv_into(view[at:])
            if got == 0:
                raise ConnectionError("the other side has closed the connection")
            at += got
        return b

    def close(self):
        self._sock.close()


class Ticket(NamedTuple):
    """What a task of Spark needs to feed a job. It holds a secret of the job: who has it may feed it rows."""

    address: str  # host:port of the desk
    identity: str  # PEM: the job's authority, and this feeder's certificate and key

    def __repr__(self):
        return f"Ticket({self.address})"


def _context(identity):
    """TLS that trusts this job's processes alone."""
    begin = "-----BEGIN CERTIFICATE-----"
    parts = identity.split(begin)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=begin + parts[1])
    fd, name = tempfile.mkstemp(prefix="tfos-feeder-")  # ssl takes a certificate from files only
    try:
        with os.fdopen(fd, "w") as f:
            f.write(begin + parts[2])
        context.load_cert_chain(name)
    finally:
        os.remove(name)
    return context


def _dial(context, address, party):
    return Wire(_connect(context, address, party))


def dial(identity, address, party):
    """A connection to a process of the job, by an identity in PEM."""
    return _connect(_context(identity), address, party)


def _connect(context, address, party):
    host, _, port = address.rpartition(":")
    raw = socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock = context.wrap_socket(raw, server_hostname=party + ".tfos")
        sock.settimeout(None)
        return sock
    except BaseException:
        raw.close()
        raise


class _Desk:
    """The driver's: it knows the workers."""

    def __init__(self, ticket):
        self._context = _context(ticket.identity)
        try:
            self._wire = _dial(self._context, ticket.address, "driver")
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
        return _dial(self._context, address, "agent")

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


class Source:
    """A queue of this task's agent, as the program takes it."""

    AHEAD = 2  # chunks that may be on their way

    def __init__(self, qname, pace=False):
        address = os.environ.get("TFOS_FEED")
        if not address:
            raise _agent.NotInTask("TFOS_FEED is not set: this program is no task of a job that Spark feeds, as those of TFCluster.run are")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(address)
            self._wire = Wire(sock)
            self._wire.send(HELLO, {"incarnation": int(os.environ["TFOS_INCARNATION"]), "queue": qname, "pace": pace})
        except OSError as e:
            sock.close()
            raise _agent.Unavailable(f"the agent of this task does not answer at {address}: {e}") from e
        self._asked = 0

    def take(self, held):
        """The next chunk, a head and a body; None: there are no more rows. held is as with hear."""
        kind, head, body = self.hear(held)
        return None if kind == END else (head, body)

    def hear(self, held, more=True):
        """What the agent says next: a chunk that was asked for, the END of the feed, or a LIMIT. With more it asks for chunks.

        held has the tickets of chunks whose rows wait for more. Where these do not come at once the agent is told, and held is emptied: the
        feeders need not wait for them.
        """
        try:
            if more and self._asked < self.AHEAD:
                self._wire.send(TAKE, {"chunks": self.AHEAD - self._asked})
                self._asked = self.AHEAD
            if held and not self._wire.ready(0):
                self._wire.send(ACK, {"tickets": list(held), "held": True})
                held.clear()
            said = self._wire.recv()
        except OSError as e:
            raise _agent.Unavailable(f"the agent of this task is gone: {e}") from e
        if said[0] == CHUNK:
            self._asked -= 1
        return said

    def ack(self, tickets, part=(0, 0)):
        """The program is done with these chunks, and of the one that part names with so many rows."""
        self._say(ACK, {"tickets": tickets, "part": part[0], "rows": part[1]})

    def answer(self, ticket, rows):
        meta, buffers = _rows.encode(rows)
        self._say(RESULT, {"ticket": ticket, "rows": len(rows), "meta": meta}, *buffers)

    def terminate(self):
        self._say(TERMINATE, {})

    def fail(self, text):
        self._say(FAIL, {"text": text})

    def wait(self):
        """Wait until the agent ends the connection."""
        try:
            while self._wire.ready(None):
                self._wire.recv()
        except OSError:
            return

    def ready(self, timeout):
        """Whether the agent says something within so many seconds."""
        return self._wire.ready(timeout)

    def close(self):
        self._wire.close()

    def _say(self, kind, head, *buffers):
        try:
            self._wire.send(kind, head, *buffers)
        except OSError as e:
            raise _agent.Unavailable(f"the agent of this task is gone: {e}") from e
