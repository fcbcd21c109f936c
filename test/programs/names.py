"""Two tasks that look for themselves and each other by more than TF_CONFIG's addresses, as health checks and metrics do: no TensorFlow, standard
library only."""
import json
import os
import socket
import subprocess
import sys
import threading
import time

METRICS = 6011  # and on, one for each task: they may share a node
config = json.loads(os.environ["TF_CONFIG"])
index, workers = config["task"]["index"], config["cluster"]["worker"]
(host, port), (peer, peer_port) = (workers[i].rsplit(":", 1) for i in (index, 1 - index))
name, done = socket.gethostname(), threading.Event()


def serve(port, word):
    """Says a word to everybody, and hears from the peer when it is done."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", int(port)))
    s.listen()

    def loop():
        while True:
            c, _ = s.accept()
            c.sendall(f"{word} {name}\n".encode())
            if c.makefile().readline() == "done\n":
                done.set()
            c.close()

    threading.Thread(target=loop, daemon=True).start()


def ask(host, port, say=""):
    with socket.create_connection((host, int(port)), timeout=30) as c:
        answer = c.makefile().readline().split()
        c.sendall(f"{say}\n".encode())
        return answer


def eventually(f, *args):
    """What a peer says that may not listen yet."""
    end = time.monotonic() + 30
    while True:
        try:
            return f(*args)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got}, want {want}")
    print("right:", what, *got, flush=True)


serve(METRICS + index, f"metrics-{index}")
serve(port, f"worker-{index}")
theirs = eventually(ask, peer, peer_port)
expect("the peer", theirs[:1], [f"worker-{1 - index}"])
expect("the peer's metrics", ask(peer, METRICS + 1 - index), [f"metrics-{1 - index}", theirs[1]])
for own in (host, "localhost", "127.0.0.1", name, socket.gethostbyname(name)):
    expect(f"itself at {own}", ask(own, port), [f"worker-{index}", name])
expect("its own metrics", ask(host, METRICS + index), [f"metrics-{index}", name])
expect("its own name", [socket.gethostbyaddr(host)[0], socket.getfqdn(host)], [name, name])
expect("the peer's name", [socket.gethostbyaddr(peer)[0]], theirs[1:])
child = "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2]))).makefile().readline())"
answer = subprocess.run([sys.executable, "-c", child, peer, peer_port], env={}, capture_output=True, text=True)
expect("the peer, for a child without an environment", answer.stdout.split(), theirs)
try:
    sys.exit(f"somebody answers where nobody listens: {ask(peer, METRICS + 2)}")
except ConnectionRefusedError:
    pass
ask(peer, peer_port, "done")
done.wait(30)
print("found all, on", name, flush=True)
os._exit(0)
