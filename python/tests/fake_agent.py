"""An agent that answers as it is told to."""

import http.server
import json
import os
import socketserver
import tempfile
import threading


class FakeAgent:
    """Serves answers[(method, path)] = (status, body) on a Unix socket, whose path is address, and keeps what was asked.

    The address is TFOS_AGENT while the agent is entered.
    """

    def __init__(self, answers):
        self.asked = []  # (method, path, body)
        self._dir = tempfile.TemporaryDirectory(prefix="tfos-test-")
        self.address = os.path.join(self._dir.name, "agent")
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                agent.asked.append((self.command, self.path, json.loads(body) if body else None))
                status, answer = answers.get((self.command, self.path), (404, "404 page not found"))
                data = b"" if answer is None else (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if data:
                    self.wfile.write(data)

            do_GET = do_POST = _answer

            def address_string(self):
                return "unix"

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self._server = Server(self.address, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def __enter__(self):
        os.environ["TFOS_AGENT"] = self.address
        return self

    def __exit__(self, *exc):
        os.environ.pop("TFOS_AGENT", None)
        self.close()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._dir.cleanup()
