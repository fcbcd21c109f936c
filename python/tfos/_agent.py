"""HTTP to the task's agent over its Unix socket, whose path is in TFOS_AGENT."""

import http.client
import json
import os
import socket

# The agent answers from memory. One that takes this long, in seconds, is stopped or gone.
TIMEOUT = 30


class Error(Exception):
    """Whatever went wrong between this program and its agent."""


class NotInTask(Error):
    """The program was not started by tfos."""


class Unavailable(Error):
    """The agent does not answer."""


class Refused(Error):
    """The agent answered that it cannot do that. status is HTTP's."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("agent", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(method, path, body=None, timeout=TIMEOUT):
    """Make one call and return the decoded answer, or None where there is none.

    Each call has a connection of its own, so threads and forked processes need no care. timeout is in seconds and bounds each step
    of the call: give more for one that waits for something to happen.
    """
    address = os.environ.get("TFOS_AGENT")
    if not address:
        raise NotInTask("TFOS_AGENT is not set: this program was not started by tfos; start it by `tfos run`")
    connection = _Connection(address, timeout)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {} if data is None else {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as e:
        raise Unavailable(f"the agent of this task does not answer at {address}: {e!r}; did the task end?") from e
    finally:
        connection.close()
    if answer.status >= 400:
        raise Refused(answer.status, f"{method} {path}: {_reason(content) or answer.reason}")
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError as e:
        raise Error(f"{method} {path}: the agent's answer is no JSON: {content[:100]!r}") from e


def _reason(content):
    try:
        return json.loads(content)["error"]
    except (ValueError, TypeError, KeyError):
        return content.decode("utf-8", "replace").strip()[:1000]
