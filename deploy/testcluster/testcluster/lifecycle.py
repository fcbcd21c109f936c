"""Up, down, wait: whole clusters."""
import os
import shutil
import signal
import socket
import time

from . import daemons, hosts, jars, kerberos, layout, probe, siteconf
from .layout import HOME
from .tools import Problem

UP_SECONDS = 180  # a loaded machine needs some


def up(lay):
    """Makes a fresh cluster and waits until every node is there. Returns the seconds it took."""
    before = layout.load(lay.name) or lay  # what runs may be of another shape
    if any(daemons.pid(before, d) for d in before.daemons()):
        raise Problem(f"cluster {lay.name} is up already: `cluster --name {lay.name} down` first")
    for version in {lay.version, jars.dshell_versions(lay.version)[1]}:
        jars.fetch(HOME, version)
    if lay.kerberos:
        jars.fetch_native(HOME)
    shutil.rmtree(lay.dir, ignore_errors=True)
    for sub in ("conf", "log", "pid", "tmp"):
        os.makedirs(f"{lay.dir}/{sub}")
    if lay.netns:
        hosts.up(lay)
    else:
        _require_ports(lay)
    lay.save()
    started = time.monotonic()
    siteconf.write(lay)
    try:
        _start_all(lay)
    except (Problem, KeyboardInterrupt):
        _kill(lay)
        raise
    return time.monotonic() - started


def _require_ports(lay):
    # A port that the kernel hands out may be taken by anyone's connection while a daemon restarts.
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        low, high = map(int, f.read().split())
    if low - 100 < lay.base <= high:
        raise Problem(f"the kernel hands out the ports from {low} to {high}: choose another block of ports with --port-base")
    for daemon in lay.daemons():
        host, port = lay.listens(daemon)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, port))
            except OSError as e:
                raise Problem(f"{host}:{port}, for {daemon}, cannot be used ({e.strerror}): "
                              "choose another block of ports with --port-base") from e


def _start_all(lay):
    if lay.kerberos:
        daemons.start(lay, "kdc")
        _until(lay, ["kdc"], "the KDC", lambda: probe.listens(lay, "kdc"))
    _format(lay)
    _copy_tree(_kept_authority(lay), _authority(lay))
    names = [d for d in lay.daemons() if d != "kdc"]
    for daemon in names:
        daemons.start(lay, daemon)
    _until(lay, lay.daemons(), "the NameNode", lambda: probe.name_node(lay)[0])
    _make_directories(lay)
    wait(lay, lay.daemons())
    _copy_tree(_authority(lay), _kept_authority(lay))


def _format(lay):
    """Formats the NameNode's directory. One empty image serves all clusters of a version: a format costs a JVM."""
    image = f"{HOME}/kept/{lay.version}-namenode"
    if not _copy_tree(image, f"{lay.dir}/nn"):
        daemons.run_java(lay, daemons.MAIN["nn"], "-format", "-nonInteractive", log=f"{lay.dir}/log/format.log")
        _copy_tree(f"{lay.dir}/nn", image)


# A ResourceManager of Hadoop 3 makes a certificate authority for its proxy when it finds none in its state store. That is
# seconds of searching for large primes, so one is kept for the next cluster.

def _authority(lay):
    return f"{lay.dir}/rmstate/FSRMStateRoot/ProxyCARoot"


def _kept_authority(lay):
    return f"{HOME}/kept/{lay.version}-proxy-authority"


def _copy_tree(source, target):
    """Copies a directory to a place where there is none, in one step for whoever looks. Tells whether source exists."""
    if not os.path.exists(source):
        return False
    if not os.path.exists(target):
        part = f"{target}.{os.getpid()}"
        shutil.copytree(source, part)
        try:
            os.rename(part, target)
        except OSError:  # another cluster was first
            shutil.rmtree(part)
    return True


def _make_directories(lay):
    """/tmp, /app-logs and homes, as an installer would make them."""
    if not lay.kerberos:  # over WebHDFS: no JVM to start
        for path, mode in {"/tmp": "1777", "/app-logs": "1777", "/user": "755", "/user/root": "755"}.items():
            url = f"http://{lay.web(lay.nn_port('http'))}/webhdfs/v1{path}?op=MKDIRS&permission={mode}&user.name=root"
            if not (probe.get(url, "PUT", timeout=30) or {}).get("boolean"):
                raise Problem(f"HDFS made no {path}; see {daemons.log_file(lay, 'nn')}")
        return
    kerberos.login(lay, "hdfs", "hdfs/localhost")
    homes = [f"/user/{user}" for user in kerberos.USERS]
    for command in (["-mkdir", "-p", "/tmp", "/app-logs", *homes], ["-chmod", "1777", "/tmp", "/app-logs"],
                    *(["-chown", user, f"/user/{user}"] for user in kerberos.USERS),
                    ["-chown", "yarn:hadoop", "/app-logs"]):
        daemons.run_java(lay, "org.apache.hadoop.fs.FsShell", *command)
    kerberos.login(lay, "root", "root")


def wait_listening(lay, names):
    """Waits until the named daemons accept connections."""
    for daemon in names:
        _until(lay, names, daemon, lambda d=daemon: probe.listens(lay, d))


def wait(lay, names):
    """Waits until the named daemons serve, HDFS is out of safe mode and all their nodes have registered."""
    wait_listening(lay, names)
    dns, nodes = set(names) & set(lay.dn_names()), lay.node_ids(names)
    if "nn" in names:
        _until(lay, names, "HDFS to leave safe mode and its DataNodes",
               lambda: (lambda open_, live: open_ and live >= len(dns))(*probe.name_node(lay)))
    if nodes and set(names) & set(lay.rm_names()):
        _until(lay, names, "the NodeManagers",
               lambda: nodes <= {n["id"] for n in probe.nodes(lay) if n["state"] == "RUNNING"})


def _until(lay, names, what, ok):
    seconds = UP_SECONDS + lay.hollow // 3
    end = time.monotonic() + seconds
    while not ok():
        probe.require_alive(lay, [d for d in names if os.path.exists(f"{lay.dir}/pid/{d}")])
        if time.monotonic() > end:
            raise Problem(f"waited {seconds} s for {what}; the logs are in {lay.dir}/log")
        time.sleep(0.1)


def down(lay, keep_state=True):
    """Ends every process of the cluster, containers too. A cluster that is down already is no error."""
    if all(daemons.pid(lay, d) for d in lay.daemons()):
        daemons.make_archives(lay)  # now, since by now the daemons have loaded what they use
    _kill(lay)
    if not keep_state:
        shutil.rmtree(lay.dir, ignore_errors=True)


def _kill(lay):
    for daemon in reversed(lay.daemons()):
        daemons.stop(lay, daemon)
    daemons.signal_containers(lay, signal.SIGKILL)
    if lay.netns:
        hosts.down(lay)
