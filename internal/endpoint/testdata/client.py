"""A program that knows nothing of endpoints: it does with sockets what it is told on stdin and answers on stdout, one JSON a line."""
import errno
import json
import os
import resource
import select
import socket
import struct
import subprocess
import sys
import threading
import time

WAIT = 30  # seconds, for what takes milliseconds

conns, children = {}, []


def keep(x):
    conns[len(conns)] = x
    return len(conns) - 1


def split(addr):
    host, port = addr.rsplit(":", 1)
    return host.strip("[]"), int(port)


def op_connect(addr, blocking=True):
    host, port = split(addr)
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.settimeout(WAIT)
    if not blocking:
        s.setblocking(False)
    code = s.connect_ex((host, port))
    return {"id": keep(s), "error": errno.errorcode.get(code, "")}


def op_again(id, addr):
    """A second connect on the same socket: how programs ask whether the first is through."""
    return {"error": errno.errorcode.get(conns[id].connect_ex(split(addr)), "")}


def op_line(id):
    s, b = conns[id], b""
    s.settimeout(WAIT)
    try:
        while not b.endswith(b"\n"):
            c = s.recv(1)
            if not c:
                return {"error": "EOF"}
            b += c
    except OSError as e:
        return {"error": errno.errorcode.get(e.errno, str(e))}
    return {"line": b.decode().strip()}


def ended(s, wait):
    """Whether a connection ends within so many seconds, whatever still comes on it."""
    end = time.monotonic() + wait
    s.setblocking(False)
    p = select.poll()
    p.register(s, select.POLLIN)
    while True:
        try:
            if not s.recv(65536):
                return True
        except BlockingIOError:
            left = end - time.monotonic()
            if left <= 0:
                return False
            p.poll(left * 1000)
        except OSError:
            return True


def op_ended(id, wait=WAIT):
    return {"ok": ended(conns[id], wait)}


def op_fill(id):
    """Send until nothing more goes in, then wait for the connection's end as a sender sees it."""
    s, n = conns[id], 0
    s.setblocking(False)
    try:
        while True:
            n += s.send(b"x" * 65536)
    except BlockingIOError:
        pass
    return {"count": n}


def op_writable(id):
    p = select.poll()
    p.register(conns[id], select.POLLOUT)
    ok = bool(p.poll(WAIT * 1000))
    try:
        conns[id].send(b"x")
    except OSError as e:
        return {"ok": ok, "error": errno.errorcode.get(e.errno, str(e))}
    return {"ok": ok}


def op_echo(id, text):
    conns[id].sendall(text.encode() + b"\n")
    return op_line(id)


def op_peer(id):
    return {"line": "%s:%d" % conns[id].getpeername()[:2]}


def op_reuse(id):
    """Close a connection and have its number taken by something else: whether that works still, told by op_pair."""
    n = conns[id].fileno()
    conns[id].close()
    a, b = socket.socketpair()
    conns[id] = (a, b)
    return {"ok": n in (a.fileno(), b.fileno())}


def op_pair(id):
    a, b = conns[id]
    a.send(b"x")
    b.settimeout(WAIT)
    return {"ok": b.recv(1) == b"x"}


def op_listen(addr):
    host, port = split(addr)
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if host == "::":
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        s.bind((host, port))
        bound = s.getsockname()[1]
        s.listen(8)
    except OSError as e:
        return {"error": errno.errorcode.get(e.errno, str(e))}
    return {"id": keep(s), "line": str(bound), "count": s.getsockname()[1]}


def op_accept(id):
    s, l = None, conns[id]
    l.settimeout(WAIT)
    s = l.accept()[0]
    s.sendall(b"task\n")
    return {"id": keep(s)}


def op_udp(addr):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(split(addr))
    return {"line": "%s:%d" % s.getpeername()}


def op_many(addr, n):
    """Make n connections and hear who is there: how many said so."""
    ids = [op_connect(addr) for _ in range(n)]
    return {"id": ids[0]["id"], "count": sum("line" in op_line(x["id"]) for x in ids)}


def op_visit(addr):
    """Connect, hear who is there, and leave nothing behind, not even a port that waits: there may be very many."""
    made = op_connect(addr)
    if made["error"]:
        return made
    heard = op_line(made["id"])
    s = conns.pop(made["id"])
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    return heard


VISIT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30)
print(s.makefile().readline().strip())
"""


def op_bare(how, addr):
    """Have another program visit an address: one whose environment was made by hand, or is to be without the library."""
    visit = [sys.executable, "-c", VISIT, *map(str, split(addr))]
    env, path = {"A": "B"}, {"PATH": os.environ["PATH"]}
    if how == "env -i":
        visit = ["env", "-i", *visit]
    elif how == "unset":
        visit = ["env", "-u", "LD_PRELOAD", *visit]
    elif how in ("execv", "execvp"):
        visit = [sys.executable, "-c", "import os, sys\nos.environ.clear()\nos.%s(sys.argv[1], sys.argv[1:])" % how, *visit]
    envs = {"subprocess": env, "posix_spawn": env, "empty": {}, "PATH": path}
    out = subprocess.run(visit, env=envs.get(how), close_fds=how != "posix_spawn", capture_output=True, text=True)
    return {"line": out.stdout.strip(), "error": "ECONNREFUSED" if "ConnectionRefusedError" in out.stderr else out.stderr[-300:]}


def op_names(host):
    """What a host is called, by each way to ask; and the addresses that come with it."""
    try:
        name, _, addresses = socket.gethostbyaddr(host)
    except OSError as e:
        return {"error": str(e)}
    return {"line": " ".join([name, *addresses, *socket.getnameinfo((host, 4), 0), socket.getnameinfo((host, 4), socket.NI_NUMERICHOST)[0]])}


def op_threads(n=0):
    return {"count": len(os.listdir("/proc/self/task"))}


def op_storm(addr, threads, most):
    """Begin to connect, over and over, and keep every connection, up to so many a thread."""
    global storm
    stop, out = threading.Event(), []

    def run():
        for _ in range(most):
            if stop.is_set():
                return
            s = socket.socket()
            s.settimeout(WAIT)
            out.append((s, s.connect_ex(split(addr))))

    ts = [threading.Thread(target=run) for _ in range(threads)]
    for t in ts:
        t.start()
    storm = (stop, ts, out)
    return {}


def op_calm(name):
    """End the storm. Every connection must be with the server of that name, or end."""
    stop, ts, out = storm
    stop.set()
    for t in ts:
        t.join()
    n = {"refused": 0, "reset": 0, "right": 0, "wrong": 0}
    for s, code in out:
        conns["storm"] = s
        if n["wrong"]:
            pass  # enough is known, and each costs the whole wait
        elif code:
            n["refused" if code == errno.ECONNREFUSED else "reset"] += 1
        else:
            line = op_line("storm")
            if line.get("error") == "timed out":
                n["wrong"] += 1
            elif "error" in line:
                n["reset"] += 1
            elif line["line"] == name:
                n["right"] += 1
            else:
                n["reset" if ended(s, WAIT) else "wrong"] += 1
        s.close()
    return n


def op_fork():
    """A forked child that does as it is told, by op_child."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        serve(theirs.makefile("r"), theirs.makefile("w"))
        os._exit(0)
    theirs.close()
    children.append((ours.makefile("r"), ours.makefile("w")))
    return {"id": len(children) - 1}


def op_spawn():
    """Another program, likewise."""
    p = subprocess.Popen([sys.executable, *sys.argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    children.append((p.stdout, p.stdin))
    return {"id": len(children) - 1}


def op_child(id, request):
    r, w = children[id]
    w.write(json.dumps(request) + "\n")
    w.flush()
    return json.loads(r.readline())


def serve(requests, answers):
    for line in requests:
        request = json.loads(line)
        answer = globals()["op_" + request.pop("op")](**request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
serve(sys.stdin, sys.stdout)
