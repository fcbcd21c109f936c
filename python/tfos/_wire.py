"""Connections of the feed, of tasks of Spark and of programs: the frames of internal/feed/frame.go, over TLS where they leave the machine."""

import json
import math
import os
import select
import socket
import ssl
import struct
import tempfile
from typing import NamedTuple

(OPEN, OPENED, CHUNK, CONSUMED, RESULT, STATE, OVER, HELLO, TAKE, ACK, END, TERMINATE, FAIL, PLACE, DONE, LIMIT) = range(1, 17)

_HEADER = struct.Struct(">BIQ")
_SMALL = 64 << 10  # buffers up to this are joined before they are sent

_CONNECT = 20  # seconds that a connection may take to be made


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


def context(identity):
    """TLS that trusts this job's processes alone, by an identity in PEM."""
    begin = "-----BEGIN CERTIFICATE-----"
    parts = identity.split(begin)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.minimum_version = ssl.TLSVersion.TLSv1_3
    found.load_verify_locations(cadata=begin + parts[1])
    fd, name = tempfile.mkstemp(prefix="tfos-feeder-")  # ssl takes a certificate from files only
    try:
        with os.fdopen(fd, "w") as f:
            f.write(begin + parts[2])
        found.load_cert_chain(name)
    finally:
        os.remove(name)
    return found


def connect(context, address, party):
    """A connection to a process of the job, which is the driver or an agent."""
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
