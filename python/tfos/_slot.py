"""A slot for a node, held in an executor of Spark: the agent's binary holds it, for which nothing need be installed there.

The driver's side is internal/slots/offer, the binary's internal/slots/hold.
"""

import hashlib
import json
import os
import socket
import stat
import subprocess
import tempfile
from typing import NamedTuple

from tfos import _wire

TAKEN, REFUSED, OVER = "all", "refuse", "over"


class Lost(RuntimeError):
    """The slot could not be held."""


class Ticket(NamedTuple):
    """What a task of Spark needs to hold a slot. It holds a secret: who has it may offer slots to the job."""

    address: str  # host:port of the driver's
    identity: str  # PEM: the authority of the job's slots, and a certificate and key
    sha256: str  # of the agent's binary

    def __repr__(self):
        return f"Ticket({self.address})"


def hold(ticket, slot, held, gpus=None):
    """Offer a slot until the job needs it no more (OVER), or there are nodes enough here (REFUSED).

    Without held it returns once all nodes have slots (TAKEN), and the slot lives as long as this process's parent. gpus are those that Spark
    gave the task.
    """
    cache = _own("tfos-cache")
    agent = _fetch(ticket, cache)
    parent = os.getppid()
    offer = {"slot": slot, "executor": f"{socket.gethostname()}/{parent}", "held": held}
    said = {"address": ticket.address, "identity": ticket.identity, "offer": offer, "dir": _scratch(),
            "logs": os.path.join(_writable(os.getcwd()), "tfos-logs"), "cache": cache, "parent": parent}  # fmt: skip
    process = subprocess.Popen([agent, "hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                               env=dict(os.environ, CUDA_VISIBLE_DEVICES=",".join(gpus)) if gpus else None)  # fmt: skip
    try:
        process.stdin.write(json.dumps(said).encode() + b"\n")
        process.stdin.flush()
        verdict = ""
        for line in process.stdout:
            verdict = line.decode().strip()
            if verdict == REFUSED or verdict == OVER or verdict == TAKEN and not held:
                return verdict
        raise Lost(f"the slot of node {slot} on {socket.gethostname()} is lost: " + (process.stderr.read().decode().strip() or "its holder was killed"))
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
        if held:
            process.wait()


def _scratch():
    """Where the executor keeps what goes with it: Spark removes that, whatever becomes of us."""
    for name in ("SPARK_EXECUTOR_DIRS", "LOCAL_DIRS", "SPARK_LOCAL_DIRS"):  # Standalone's, YARN's, and what people set
        for directory in os.environ.get(name, "").replace(":", ",").split(","):
            if directory and os.access(directory, os.W_OK):
                return os.path.join(directory, "tfos")
    return _own("tfos-slots")


def _writable(directory):
    return directory if os.access(directory, os.W_OK) else tempfile.gettempdir()


def _own(name):
    """A directory of this user alone, which others on the host cannot have made."""
    path = os.path.join(tempfile.gettempdir(), f"{name}-{os.getuid()}")
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    s = os.lstat(path)
    if not stat.S_ISDIR(s.st_mode) or s.st_uid != os.getuid() or s.st_mode & 0o077:
        raise Lost(f"{path} on {socket.gethostname()}, where files are kept, is not a directory of {os.getuid()} alone: remove it")
    return path


def _fetch(ticket, cache):
    """The agent's binary, from the cache or from the driver."""
    path = os.path.join(cache, ticket.sha256)
    if _hash(path) == ticket.sha256 and os.access(path, os.X_OK):
        os.utime(path)
        return path
    try:
        sock = _wire.connect(_wire.context(ticket.identity), ticket.address, "driver")
    except OSError as e:
        raise Lost(f"the driver does not answer at {ticket.address} from {socket.gethostname()}: {e}; can executors reach spark.driver.host?") from e
    with sock, sock.makefile("rb") as answer, tempfile.NamedTemporaryFile(dir=cache, prefix=".new-", delete=False) as f:
        try:
            sock.sendall(b'{"fetch":"agent"}\n')
            head = json.loads(answer.readline())
            if head.get("error"):
                raise Lost(f"the driver has no agent: {head['error']}")
            left = head["size"]
            while left > 0:
                block = answer.read(min(left, 1 << 20))
                if not block:
                    raise Lost("the driver is gone")
                f.write(block)
                left -= len(block)
            f.close()
            if _hash(f.name) != ticket.sha256:
                raise Lost("what the driver sent is not the agent")
            os.chmod(f.name, 0o700)
            os.rename(f.name, path)
        except BaseException:
            os.remove(f.name)
            raise
    return path


def _hash(path):
    h = hashlib.sha256()
    try:
        with open(path, "rb") as f:
            for block in iter(lambda: f.read(1 << 20), b""):
                h.update(block)
    except FileNotFoundError:
        return ""
    return h.hexdigest()
