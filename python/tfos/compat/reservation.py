"""Nodes tell a server on the driver's machine where they are, and learn where the others are.

Whoever knows the server's secret may talk to it. It comes with the address that start() returns, which is pickled to the nodes. What
goes over the wire is JSON, signed with a key of the connection's own; nothing is unpickled.

A connection: the server sends 16 random bytes, the client sends 16. From then on each side sends frames: the payload's length (4 bytes,
big endian), HMAC-SHA256 (32 bytes) over direction, number of the frame and payload, the payload.
"""

import hashlib
import hmac
import json
import logging
import os
import secrets
import socket
import struct
import threading
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from tfos.compat import util

__all__ = ["TFOS_SERVER_HOST", "TFOS_SERVER_PORT", "Address", "Client", "MessageSocket", "Reservations", "Server"]

TFOS_SERVER_HOST = "TFOS_SERVER_HOST"
TFOS_SERVER_PORT = "TFOS_SERVER_PORT"

_TIMEOUT = 30.0  # seconds for each step of a call
_ATTEMPTS = 3  # to connect
_LONGEST = 1 << 20  # bytes of a frame: a stranger must not make the server keep more
_CONNECTIONS = 10_000  # at a time
_NONCE = 16
_HEAD = struct.Struct(">I32s")

_log = logging.getLogger(__name__)


class Address(Tuple[str, int]):
    """Host and port of a server, with the secret that it wants. It prints as (host, port)."""

    secret: str

    def __new__(cls, host: str, port: int, secret: str) -> "Address":
        self = super().__new__(cls, (host, port))  # type: ignore[type-var]
        self.secret = secret
        return self

    def __getnewargs__(self):
        return self[0], self[1], self.secret


class Reservations:
    """The nodes that are there, and how many there are to be. Threads may share one."""

    def __init__(self, required: int):
        self.required = required
        self._changed = threading.Condition()
        self._found: List[Any] = []  # _changed guards it

    def add(self, meta: Any) -> None:
        with self._changed:
            self._found.append(meta)
            self._changed.notify_all()

    def done(self) -> bool:
        return self.remaining() <= 0

    def get(self) -> List[Any]:
        with self._changed:
            return list(self._found)

    def remaining(self) -> int:
        with self._changed:
            return self.required - len(self._found)

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until all are there, or for timeout seconds: whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._found) >= self.required, timeout)


class MessageSocket:
    """Signed JSON on a connection. Either end has one."""

    def __init__(self, sock: socket.socket, secret: str, serves: bool):
        self._sock = sock
        mine = secrets.token_bytes(_NONCE)
        sock.sendall(mine)
        theirs = self._exactly(_NONCE)
        if theirs is None:
            raise ConnectionError("the peer closed the connection before it said who it is")
        nonces = mine + theirs if serves else theirs + mine
        self._key = hmac.new(secret.encode(), nonces, hashlib.sha256).digest()
        self._directions = (b"s", b"c") if serves else (b"c", b"s")  # of what is sent, and of what is received
        self._sent = self._received = 0

    def send(self, message: Any) -> None:
        payload = json.dumps(message).encode()
        if len(payload) > _LONGEST:
            raise ValueError(f"a message of {len(payload)} bytes is too long for a reservation: {_LONGEST} at most")
        self._sock.sendall(_HEAD.pack(len(payload), self._sign(self._directions[0], self._sent, payload)) + payload)
        self._sent += 1

    def receive(self) -> Any:
        """The next message; None: the peer is gone. Raises PermissionError if the peer does not know the secret."""
        head = self._exactly(_HEAD.size)
        if head is None:
            return None
        length, signature = _HEAD.unpack(head)
        if length > _LONGEST:
            raise PermissionError("the peer sent what no reservation is")
        payload = self._exactly(length) if length else b""
        if payload is None:
            return None
        if not hmac.compare_digest(signature, self._sign(self._directions[1], self._received, payload)):
            raise PermissionError("the peer does not know the secret of this cluster's reservations")
        self._received += 1
        return json.loads(payload)

    def _sign(self, direction, number, payload):
        return hmac.new(self._key, direction + struct.pack(">Q", number) + payload, hashlib.sha256).digest()

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self._sock.recv(n - len(data))
            if not more:
                return None
            data += more
        return data


class Server:
    """Keeps the reservations of one cluster. start() listens; stop(), or a client's request_stop(), ends it."""

    def __init__(self, count: int):
        self.reservations = Reservations(count)
        self.done = False  # whether somebody asked it to stop
        self._secret = secrets.token_hex(32)
        self._listener: Optional[socket.socket] = None
        self._open = threading.BoundedSemaphore(_CONNECTIONS)

    def start(self) -> Address:
        """Listen, and say where. TFOS_SERVER_HOST and TFOS_SERVER_PORT (a port, or a range as 9997-9999) choose the place."""
        self._listener = self.start_listening_socket()
        address = Address(self.get_server_ip(), self._listener.getsockname()[1], self._secret)
        threading.Thread(target=self._serve, args=(self._listener,), name="tfos-reservations", daemon=True).start()
        return address

    def stop(self) -> None:
        self.done = True
        if self._listener is not None:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            except OSError:
                pass  # it was stopped already
            self._listener.close()

    def await_reservations(self, sc: Any = None, status: Optional[Dict[str, Any]] = None, timeout: float = 600) -> List[Any]:
        """Wait for all reservations. Raises RuntimeError with status["error"] if somebody sets that, and TimeoutError."""
        until = time.monotonic() + timeout
        while not self.reservations.wait(min(1.0, max(0.0, until - time.monotonic()))):
            if status and status.get("error"):
                raise RuntimeError(f"a node failed before all had started: {status['error']}")
            if self.done:
                raise RuntimeError(f"the reservations were stopped; {self.reservations.remaining()} nodes had not started")
            if time.monotonic() >= until:
                raise TimeoutError(
                    f"{self.reservations.remaining()} of {self.reservations.required} nodes did not start within {timeout:.0f} s: "
                    "look for free executors on Spark's page, and for what the nodes printed in the executors' logs"
                )
        return self.reservations.get()

    def get_server_ip(self) -> str:
        return os.environ.get(TFOS_SERVER_HOST) or util.get_ip_address()

    def get_server_ports(self) -> List[int]:
        """The ports to try, in order; 0: any. Raises ValueError if TFOS_SERVER_PORT is none."""
        said = os.environ.get(TFOS_SERVER_PORT)
        if not said:
            return [0]
        first, _, last = said.partition("-")
        try:
            ports = list(range(int(first), int(last or first) + 1))
        except ValueError:
            ports = []
        if not ports or ports[0] < 0 or ports[-1] > 65535:
            raise ValueError(f"{TFOS_SERVER_PORT}={said!r}: want a port, or a range of ports as 9997-9999")
        return ports

    def start_listening_socket(self) -> socket.socket:
        """A socket that listens on the first of the ports that is free. Raises OSError if none is."""
        ports = self.get_server_ports()
        for port in ports:
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("", port))
                s.listen(128)
                return s
            except OSError:
                s.close()
        raise OSError(f"no port of {TFOS_SERVER_PORT}={os.environ.get(TFOS_SERVER_PORT)} is free on this machine: name another range")

    def _serve(self, listener):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return  # stopped
            if not self._open.acquire(blocking=False):
                sock.close()
                continue
            threading.Thread(target=self._answer, args=(sock, peer), daemon=True).start()

    def _answer(self, sock, peer):
        try:
            with sock:
                self._converse(sock, peer)
        finally:
            self._open.release()

    def _converse(self, sock, peer):
        """Answer one peer until it has gone. What is said of a stranger is said before it hears that it is refused."""
        try:
            sock.settimeout(_TIMEOUT)
            messages = MessageSocket(sock, self._secret, serves=True)
            while True:
                message = messages.receive()
                if message is None:
                    return
                sock.settimeout(None)  # it is one of ours, which may have nothing to say for long
                messages.send(self._reply(message))
        except PermissionError as e:
            _log.warning("refused %s:%s: %s", *peer[:2], e)
        except (OSError, ValueError) as e:
            _log.debug("lost %s:%s: %s", *peer[:2], e)

    def _reply(self, message):
        kind = message.get("type")
        if kind == "REG":
            self.reservations.add(message["data"])
            return "OK"
        if kind == "QUERY":
            return self.reservations.wait(message["wait"]) if message.get("wait") else self.reservations.done()
        if kind == "QINFO":
            return self.reservations.get()
        if kind == "STOP":
            self.stop()
            return "OK"
        return "ERR"


class Client:
    """Talks to a Server. One thread at a time."""

    def __init__(self, server_addr: Union[Address, Sequence[Any]], secret: Optional[str] = None):
        secret = secret or getattr(server_addr, "secret", None)
        if not secret:
            raise ValueError("a client of the reservations wants the address that Server.start() returned, or its secret beside host and port")
        self.server_addr = server_addr
        self._sock, self._messages = _connected(str(server_addr[0]), int(server_addr[1]), secret)

    def register(self, reservation: Any) -> Any:
        """Add this node. What it says of itself is anything that JSON can hold."""
        return self._call({"type": "REG", "data": reservation})

    def get_reservations(self) -> Any:
        """The nodes that are there now."""
        return self._call({"type": "QINFO"})

    def await_reservations(self) -> Any:
        """Wait for all nodes, however long that takes: the server's side has the time limit."""
        while not self._call({"type": "QUERY", "wait": _TIMEOUT / 2}):
            pass
        return self.get_reservations()

    def request_stop(self) -> Any:
        """End the server."""
        return self._call({"type": "STOP"})

    def close(self) -> None:
        self._sock.close()

    def _call(self, message):
        self._messages.send(message)
        answer = self._messages.receive()
        if answer is None:
            host, port = self.server_addr
            raise ConnectionError(f"the reservations' server at {host}:{port} closed the connection: did the driver end, or is the secret another's?")
        return answer


def _connected(host, port, secret):
    for attempt in range(_ATTEMPTS):
        try:
            sock = socket.create_connection((host, port), _TIMEOUT)
            return sock, MessageSocket(sock, secret, serves=False)
        except OSError as e:
            error = e
    raise ConnectionError(f"no reservations' server answers at {host}:{port}: {error}; can this machine reach the driver's?") from error
