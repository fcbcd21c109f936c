"""Starts, stops, pauses and recognizes the processes of a cluster.

A daemon is known by <dir>/pid/<name>, and counts as ours only if the process with that number still bears the mark of
its command line: process numbers are used again.
"""
import glob
import hashlib
import os
import signal
import subprocess
import time

from . import hosts, jars, kerberos
from .layout import HOME, split
from .tools import Problem, java_version, run

MAIN = {
    "nn": "org.apache.hadoop.hdfs.server.namenode.NameNode",
    "dn": "org.apache.hadoop.hdfs.server.datanode.DataNode",
    "rm": "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
    "nm": "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
    "zk": "org.apache.zookeeper.server.ZooKeeperServerMain",
    "hollow": f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}/HollowNodeManagers.java",
}
# What Hadoop, 2.10 above all, reaches into by reflection.
OPENS = [f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in
         ("java.lang", "java.lang.reflect", "java.util", "java.io", "java.net", "java.nio",
          "java.math", "java.text", "java.util.concurrent", "sun.nio.ch")] + \
        [kerberos.KRB5_OPENS]
STOP_SECONDS = 10  # SIGTERM to SIGKILL


def clean_env(lay):
    """The environment of the daemons: none of the caller's own Hadoop settings."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HADOOP_", "YARN_", "JDK_JAVA_OPTIONS"))}
    return env | {"JAVA_HOME": lay.java, "HADOOP_CONF_DIR": lay.conf, "YARN_CONF_DIR": lay.conf}


def java_command(lay, heap, archive=None):
    """A JVM that starts fast and stays small."""
    command = [f"{lay.java}/bin/java", f"-Xmx{heap}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
               f"-Djava.io.tmpdir={lay.dir}/tmp", f"-Djdk.net.hosts.file={lay.conf}/hosts",
               f"-Dlog4j.configuration=file:{lay.conf}/log4j.properties"]
    if archive and os.path.exists(archive):
        command += [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
    elif archive:
        command += ["-XX:+RecordDynamicDumpInfo", "-Xlog:cds=off"]
    if lay.kerberos:
        command += [f"-Djava.library.path={jars.fetch_native(HOME)}",
                    f"-Djava.security.krb5.conf={lay.krb5}/krb5.conf"]
    return command + ["-cp", ":".join(lay.class_path())] + OPENS


def run_java(lay, *args, log=None):
    """Runs a Hadoop tool to its end."""
    env = clean_env(lay) | (kerberos.client_env(lay) if lay.kerberos else {})
    said = run(*java_command(lay, 256), *args, env=env, cwd=lay.dir)
    if log:
        with open(log, "w", encoding="utf-8") as f:
            f.write(said)


def start(lay, daemon):
    """Starts a daemon that is not running; does not wait until it serves."""
    if pid(lay, daemon):
        return
    kind, i = split(daemon)
    if kind == "kdc":
        if not os.path.exists(lay.krb5):
            kerberos.make_realm(lay)
        return _spawn(lay, daemon, kerberos.kdc_command(), kerberos.server_env(lay))
    command = java_command(lay, lay.heap + 2 * lay.hollow if kind == "hollow" else lay.heap, archive_file(lay, kind))
    command[1:1] = [f"-Dcluster={lay.dir}", f"-Dname={daemon}"]
    args = []
    if kind == "nm":
        command[1:1] = [f"-Dnm.host={lay.nm_host(i)}", f"-Dnm.dir={lay.dir}/{daemon}"]
    elif kind == "dn":
        command[1:1] = [f"-Ddn.host={lay.dn_host(i)}", f"-Ddn.dir={lay.dir}/{daemon}"] + \
            [f"-Ddn.{what}.port={lay.dn_port(i, what)}" for what in ("data", "http", "https", "ipc")]
    elif kind == "rm" and lay.ha:
        # ZooKeeper's SASL stays off: nothing here uses it, and the client of Hadoop 2.10 fails at it on a newer JDK
        command[1:1] = [f"-Dyarn.resourcemanager.ha.id={daemon}", "-Dzookeeper.sasl.client=false"]
        args = ["-D", f"yarn.resourcemanager.ha.id={daemon}"]
    elif kind == "hollow":
        # small stacks: each NodeManager has some twenty threads
        command[1:1] = [f"-Dhollow.containers={lay.containers()}", "-Xss256k"]
        args = [f"{lay.dir}/{daemon}", *lay.hollow_hosts()]
    elif kind == "zk":
        args = [f"{lay.conf}/zoo.cfg"]
    _spawn(lay, daemon, command + [MAIN[kind]] + args, clean_env(lay))


def _spawn(lay, daemon, command, env):
    if lay.netns:
        command = hosts.on(lay, lay.host(daemon)) + command
    with open(log_file(lay, daemon), "ab") as log:
        process = subprocess.Popen(command, env=env, cwd=lay.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
    with open(f"{lay.dir}/pid/{daemon}", "w", encoding="utf-8") as f:
        f.write(str(process.pid))


def log_file(lay, daemon):
    return f"{lay.dir}/log/{daemon}.log"


def pid(lay, daemon):
    """The process of a daemon that runs (or is paused), else None."""
    try:
        with open(f"{lay.dir}/pid/{daemon}", encoding="utf-8") as f:
            number = int(f.read())
        with open(f"/proc/{number}/stat", encoding="utf-8") as f:
            if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                return None
        command = _command_line(number)
        marked = f"-Dcluster={lay.dir}\0".encode() in command
        return number if marked or (daemon == "kdc" and os.readlink(f"/proc/{number}/cwd") == lay.dir) else None
    except (OSError, ValueError):
        return None


def _command_line(number):
    """Empty for a moment while a process replaces itself, as java does if LD_LIBRARY_PATH is set: looks again then."""
    for _ in range(20):
        with open(f"/proc/{number}/cmdline", "rb") as f:
            command = f.read()
        if command:
            break
        time.sleep(0.01)
    return command


def send(lay, daemon, sig):
    """Sends a signal to a running daemon; one that is down is a Problem."""
    number = pid(lay, daemon)
    if not number:
        raise Problem(f"{daemon} is not running; see {log_file(lay, daemon)}")
    os.kill(number, sig)


def stop(lay, daemon, sig=signal.SIGKILL):
    """Ends a daemon and waits for that; SIGTERM becomes SIGKILL after a while. One that is down is no error."""
    number = pid(lay, daemon)
    if not number:
        return
    os.kill(number, sig)
    os.kill(number, signal.SIGCONT)  # a paused process dies of SIGKILL only
    end = time.monotonic() + STOP_SECONDS
    while pid(lay, daemon):
        if time.monotonic() > end:
            os.kill(number, signal.SIGKILL)
        time.sleep(0.02)


def container_pids(lay, nm=None):
    """Processes of the containers of one NodeManager, or of all.

    They are known by their working directory, or by the directories that the NodeManager put into their environment.
    """
    roots = [f"{lay.dir}/{name}/" for name in ([nm] if nm else [*lay.nm_names(), *(f"hollow/{host}" for host in lay.hollow_hosts())])]
    for proc in glob.glob("/proc/[0-9]*"):
        try:
            cwd = os.readlink(f"{proc}/cwd") + "/"
            with open(f"{proc}/environ", "rb") as f:
                env = dict(v.split("=", 1) for v in f.read().decode(errors="replace").split("\0") if "=" in v)
        except OSError:  # it ended, or is not ours
            continue
        dirs = env.get("LOCAL_DIRS", "") if "CONTAINER_ID" in env else ""
        if any(cwd.startswith(f"{root}local/") or dirs.startswith(f"{root}local/") for root in roots):
            yield int(os.path.basename(proc))


def signal_containers(lay, sig, nm=None):
    for number in container_pids(lay, nm):
        try:
            os.kill(number, sig)
        except ProcessLookupError:
            pass


# -- class-data sharing: a JVM that maps its classes instead of parsing them starts in about half the time


def archive_file(lay, kind):
    """The class-data archive of one kind of daemon, for exactly these jars and this JDK; None where there can be none."""
    if java_version(lay.java) < 17:
        return None
    key = hashlib.sha256("\0".join([lay.java, *jars.class_path(HOME, lay.version), *OPENS]).encode()).hexdigest()[:12]
    return f"{HOME}/cds/{lay.version}-{kind}-{key}.jsa"


def make_archives(lay):
    """Dumps the classes that the running daemons have loaded, where there is no archive yet."""
    for kind in MAIN:
        archive = archive_file(lay, kind)
        daemon = next((d for d in lay.daemons() if split(d)[0] == kind and pid(lay, d)), None)
        if not daemon or not archive or os.path.exists(archive):
            continue
        os.makedirs(os.path.dirname(archive), exist_ok=True)
        part = f"{archive}.{os.getpid()}"
        try:
            run(f"{lay.java}/bin/jcmd", str(pid(lay, daemon)), "VM.cds", "dynamic_dump", part, timeout=60)
            os.rename(part, archive)
        except (Problem, OSError, subprocess.TimeoutExpired) as e:
            print(f"no class-data archive for {kind}, starts stay slower: {e}")
