"""A task that meets the others, again and again, and sees to it that each is who its address says: no TensorFlow, standard library only.

    meet.py DIR ROUNDS MOVES FALLS

Each tells the other its role, index and incarnation. In their first incarnation some tasks (MOVES: indices, divided by commas) end their own
agent, and come back elsewhere; others (FALLS) fail, and come back in place. A role "thief" takes the ports that the first leave as
soon as these are free, and answers there. A task ends with 3 when another task, the thief, or an incarnation older than one that it met before
answers; the thief, when a task tells it anything: it was connected.
"""
import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

directory, rounds = sys.argv[1], int(sys.argv[2])
moves, falls = ([int(n) for n in a.split(",")] for a in sys.argv[3:5])
config = json.loads(os.environ["TF_CONFIG"])
role, index, incarnation = os.environ["TFOS_ROLE"], int(os.environ["TFOS_INDEX"]), int(os.environ["TFOS_INCARNATION"])
me = "%s/%d %d" % (role, index, incarnation)
WAIT = 10  # seconds, for what takes milliseconds


def path(name):
    return os.path.join(directory, name)


def note(name, text=""):
    with open(path(name + ".new"), "w") as f:
        f.write(text)
    os.rename(path(name + ".new"), path(name))


def wrong(what):
    note("wrong-%s-%d-%d" % (role, index, incarnation), what)
    os._exit(3)


def real_port():
    """Where this task listens in truth, as its agent tells."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.environ["TFOS_AGENT"])
    s.sendall(b"GET /v1/task HTTP/1.0\r\n\r\n")
    answer = b"".join(iter(lambda: s.recv(65536), b""))
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["address"].rsplit(":", 1)[1]


def serve(s, come, heard):
    """Answers each connection with who this is. Calls come for each, and heard with what the other says."""

    def answer(c):
        come()
        c.settimeout(WAIT)
        try:
            c.sendall(me.encode() + b"\n")
            heard(c.makefile().readline())
            c.recv(1)  # the other ends it, by a reset: nothing of it keeps the port from being taken again
        except OSError:
            pass  # the other was reset
        c.close()

    def loop():
        s.listen(512)
        while True:
            c, _ = s.accept()
            threading.Thread(target=answer, args=[c], daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def thief():
    """Tries for the ports of those that move, and for what their agents have beside them, until each was had."""
    visits = []

    def heard(line):
        if line:
            wrong("a task told the thief: " + line)

    left = list(moves)
    while True:
        for i in left[:]:
            try:
                with open(path("worker-%d-1" % i)) as f:
                    port = int(f.read())
                had = []
                for n in (port, port + 1):
                    had.append(socket.socket())
                    had[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # whatever connections there were
                    had[-1].bind(("", n))
            except OSError:  # not known, or not free
                continue
            serve(had[0], lambda: visits.append(i), heard)
            serve(had[1], lambda: None, heard)
            left.remove(i)
            note("stolen-%d" % i, str(port))
        note("visits", str(len(visits)))
        time.sleep(0.005)


def end_agent():
    with open("/proc/%d/stat" % os.getppid()) as f:  # the guard's
        agent = int(f.read().rsplit(")", 1)[1].split()[1])
    os.kill(agent, signal.SIGKILL)
    time.sleep(60)


def meet(name, address, newest):
    """Reports whether the peer was met. If not it was refused: it is nowhere just now."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=WAIT) as c:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.sendall(me.encode() + b"\n")
            said = c.makefile().readline().split()
    except OSError:
        return False
    if not said:
        return False
    who, inc = said[0], int(said[1])
    if who != name or inc < newest.get(name, 0):
        wrong("at %s of %s answers %s, incarnation %d" % (address, name, who, inc))
    newest[name] = inc
    return True


def main():
    if role == "thief":
        thief()
    workers = config["cluster"]["worker"]
    host, port = workers[index].rsplit(":", 1)
    s = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # as TensorFlow does
        s.setsockopt(socket.SOL_SOCKET, option, 1)
    s.bind(("", int(port)))
    serve(s, lambda: None, lambda line: None)
    note("worker-%d-%d" % (index, incarnation), real_port())
    peers = {"worker/%d" % i: a for i, a in enumerate(workers) if i != index}
    changing = ["worker/%d" % i for i in moves + falls if i != index]
    newest, met, refused, n = {}, 0, 0, 0
    # A program goes on until it has met all peers, those that change in their second incarnation, and the thief has what they left.
    while n < rounds or len(newest) < len(peers) or any(newest[p] != 2 for p in changing) or \
            not all(os.path.exists(path("stolen-%d" % i)) for i in moves):
        others = [p for p in peers if p not in newest] or random.sample(list(peers), min(6, len(peers)))
        for name in set(changing + others):
            if meet(name, peers[name], newest):
                met += 1
            else:
                refused += 1
        n += 1
        print("step %d" % n, flush=True)
        if incarnation == 1 and n == 3:
            if index in moves:
                end_agent()
            if index in falls:
                os._exit(1)
        time.sleep(0.4 + random.random() / 2)
    note("done-%d" % index, "%d %d" % (met, refused))
    while len([f for f in os.listdir(directory) if f.startswith("done-") and not f.endswith(".new")]) < len(workers):
        time.sleep(0.1)


main()
