"""Rows as a program takes them from its task's agent."""

import os
import socket

from tfos import _agent, _rows
from tfos._wire import ACK, CHUNK, END, FAIL, HELLO, RESULT, TAKE, TERMINATE, Wire


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
