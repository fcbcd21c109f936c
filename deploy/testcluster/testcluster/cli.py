"""The command line."""
import argparse
import os
import re
import signal
import sys
import time

from . import daemons, drain, hosts, jars, layout, lifecycle, probe, shellenv, tools
from .tools import Problem

HELP = """\
A real Hadoop on loopback, from Maven Central's jars: one JVM per daemon.

  cluster up                    start a fresh cluster (3 NodeManagers, Hadoop 3.4) and wait until it serves
  eval "$(cluster env)"         HADOOP_CONF_DIR and friends; functions hdfs, yarn, hadoop, dshell
  cluster status                processes, memory, nodes
  cluster down [--purge]        end everything (and remove the cluster's directory); fine if it is down

Daemons are called nn, dn1…, rm1 (rm2), nm1… (or hollow), zk, kdc; `dn` and `rm` mean dn1 and rm1.

  cluster kill NAME…            SIGKILL; --host: an nm's containers too, as if the machine was gone
  cluster stop NAME…            SIGTERM, then SIGKILL
  cluster start|restart NAME…   and wait until it listens; restart kills first
  cluster pause|resume NAME…    SIGSTOP, SIGCONT; --host: an nm's containers too, as if the machine froze
  cluster drain NM…             decommission NodeManagers gracefully, --timeout SECONDS at most; nmI or its host
  cluster recommission NM…      take them back, started again if they were shut down meanwhile
  cluster on HOST COMMAND…      run a command on a host of `up --netns`: head, gateway, nm1…
  cluster cut HOST [PEER…]      the network swallows what the host and its peers (else: all) send each other
  cluster heal HOST [PEER…]     no longer
  cluster wait                  wait until HDFS is out of safe mode and every node has registered
  cluster kill-nm|restart-nm|pause-nm|resume-nm I,  kill-rm|restart-rm [J]      the same, by number

Clusters live side by side: --name (default $CLUSTER_NAME or "main") comes before the command and chooses the
directory <home>/run/<name> (conf, log/<daemon>.log, …), --port-base of `up` a block of 100 ports. NodeManager I has
the address and host name 127.0.<port-base/1000>.I. <home> is $TESTCLUSTER_HOME, else build/testcluster of this
checkout; nothing is written elsewhere but in Maven's cache. README.md beside this script says how to make HDFS full,
over quota, read-only and so on.
"""
NUMBERED = {"kill-nm": ("kill", "nm"), "restart-nm": ("restart", "nm"), "pause-nm": ("pause", "nm"),
            "resume-nm": ("resume", "nm"), "kill-rm": ("kill", "rm"), "restart-rm": ("restart", "rm")}


def parser():
    p = argparse.ArgumentParser(prog="cluster", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--name", default=os.environ.get("CLUSTER_NAME", "main"), help="which cluster")
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start a fresh cluster")
    up.add_argument("--nms", type=int, default=3, help="NodeManagers (default 3)")
    up.add_argument("--hollow", type=int, default=0, metavar="N", help="N NodeManagers in one JVM instead; see README.md")
    up.add_argument("--dns", type=int, default=1, help=f"DataNodes (default 1, at most {layout.MAX_DNS})")
    up.add_argument("--version", default="3.4", help="Hadoop: 2.10, 3.4, 3.5 or a full version (default 3.4)")
    up.add_argument("--kerberos", action="store_true", help="secure mode, with a KDC; users root, alice, bob")
    up.add_argument("--rm-ha", action="store_true", help="two ResourceManagers and a ZooKeeper")
    up.add_argument("--netns", action="store_true", help="hosts with networks, addresses and names of their own; wants root")
    up.add_argument("--gpus", type=int, default=0, help="yarn.io/gpu count that each NodeManager declares")
    up.add_argument("--port-base", type=int, default=18000, help="first of 100 ports, in thousands (default 18000)")
    up.add_argument("--heap", type=int, default=256, help="MiB of heap for each daemon (default 256)")
    up.add_argument("--java", help="JAVA_HOME; else $JAVA_HOME, java on PATH, or the first JDK 17 to 23 found")
    up.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                    help="a property: dfs.* goes to hdfs-site.xml, yarn.scheduler.capacity.* to "
                         "capacity-scheduler.xml, yarn.* to yarn-site.xml, the rest to core-site.xml")
    down = commands.add_parser("down", help="end everything")
    down.add_argument("--purge", action="store_true", help="remove the cluster's directory too, logs included")
    for name, text in (("env", "print shell variables and functions"), ("status", "print what runs"),
                       ("wait", "wait until everything serves")):
        commands.add_parser(name, help=text)
    for verb in ("kill", "stop", "start", "restart", "pause", "resume"):
        c = commands.add_parser(verb, help=f"{verb} daemons")
        c.add_argument("daemons", nargs="+", metavar="NAME")
        _host_flag(c)
    for alias, (verb, kind) in NUMBERED.items():
        c = commands.add_parser(alias, help=f"{verb} {kind}I")
        c.add_argument("number", type=int, **({"nargs": "?", "default": 1} if kind == "rm" else {}))
        _host_flag(c)
    for verb in ("drain", "recommission"):
        c = commands.add_parser(verb, help=f"{verb} NodeManagers")
        c.add_argument("daemons", nargs="+", metavar="NM")
        if verb == "drain":
            c.add_argument("--timeout", type=int, default=3600, help="seconds until they are shut down in any case")
    on = commands.add_parser("on", help="run a command on a host")
    on.add_argument("--show", action="store_true", help="print what precedes a command there, a word a line, for who runs many")
    on.add_argument("host", metavar="HOST")
    on.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    for verb in ("cut", "heal"):
        c = commands.add_parser(verb, help=f"{verb} the network of a host")
        c.add_argument("host", metavar="HOST")
        c.add_argument("peers", nargs="*", metavar="PEER")
        if verb == "cut":
            c.add_argument("--for", type=float, dest="seconds", help="heal it after so many seconds")
    commands.add_parser("fetch", help="only fetch the jars").add_argument("--version", default="3.4")
    return p


def _host_flag(command):
    command.add_argument("--host", action="store_true", help="a NodeManager's containers too")


def main(argv=None):
    a = parser().parse_args(argv)
    try:
        _run(a)
        return 0
    except Problem as e:
        print(f"cluster: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(a):
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", a.name):
        raise Problem(f"cluster name {a.name!r}: letters a-z, digits and - only")
    if a.command == "fetch":
        version = jars.full_version(a.version)
        for each in dict.fromkeys((version, jars.dshell_versions(version)[1])):
            jars.fetch(layout.HOME, each)
        return None
    if a.command == "up":
        lay = _new_layout(a)
        seconds = lifecycle.up(lay)
        return print(f"up in {seconds:.1f} s: {', '.join(lay.daemons())}; logs in {lay.dir}/log")
    lay = layout.load(a.name)
    if not lay:
        if a.command == "down":
            return None
        raise Problem(f"there is no cluster {a.name}: `cluster --name {a.name} up` makes one")
    if a.command == "down":
        return lifecycle.down(lay, keep_state=not a.purge)
    if a.command == "env":
        return print("\n".join(shellenv.lines(lay)))
    if a.command == "status":
        return _status(lay)
    if a.command == "wait":
        return lifecycle.wait(lay, [d for d in lay.daemons() if daemons.pid(lay, d)])
    if a.command == "on":
        enter = hosts.on(lay, a.host)
        if a.show:
            return print("\n".join(enter))
        command = enter + (a.argv or ["bash"])
        return os.execvp(command[0], command)
    if a.command == "heal":
        return hosts.heal(lay, a.host, a.peers)
    if a.command == "cut":
        hosts.cut(lay, a.host, a.peers)
        if a.seconds is None:
            return None
        time.sleep(a.seconds)
        return hosts.heal(lay, a.host, a.peers)
    if a.command == "drain":
        return drain.drain(lay, a.daemons, a.timeout)
    if a.command == "recommission":
        return drain.recommission(lay, a.daemons)
    if a.command in NUMBERED:
        verb, kind = NUMBERED[a.command]
        return _act(lay, verb, [f"{kind}{a.number}"], a.host)
    return _act(lay, a.command, a.daemons, a.host)


def _new_layout(a):
    if a.port_base % 1000 or not 1000 <= a.port_base <= 65000:
        raise Problem(f"--port-base {a.port_base}: a multiple of 1000 up to 65000")
    if not 0 <= a.nms <= layout.MAX_NMS or not 1 <= a.dns <= layout.MAX_DNS:
        raise Problem(f"at most {layout.MAX_NMS} NodeManagers and 1 to {layout.MAX_DNS} DataNodes")
    if not 0 <= a.hollow <= layout.MAX_HOLLOW or a.hollow and (a.netns or a.kerberos):
        raise Problem(f"at most {layout.MAX_HOLLOW} hollow NodeManagers, and none with --netns or --kerberos")
    if a.netns and a.kerberos:
        raise Problem("--netns and --kerberos do not go together: the KDC is on loopback")
    if any("=" not in pair for pair in a.set):
        raise Problem("--set wants KEY=VALUE")
    return layout.Layout(name=a.name, base=a.port_base, version=jars.full_version(a.version),
                         java=tools.java_home(a.java), nms=0 if a.hollow else a.nms, hollow=a.hollow, dns=a.dns, kerberos=a.kerberos, ha=a.rm_ha, netns=a.netns,
                         gpus=a.gpus, heap=a.heap, sets=a.set)


def _act(lay, verb, names, host):
    names = [{"dn": "dn1", "rm": "rm1"}.get(n, n) for n in names]
    for daemon in names:
        if daemon not in lay.daemons():
            raise Problem(f"cluster {lay.name} has no {daemon}, but {', '.join(lay.daemons())}")
    for daemon in names:
        if verb in ("kill", "restart"):
            daemons.stop(lay, daemon)
        elif verb == "stop":
            daemons.stop(lay, daemon, signal.SIGTERM)
        elif verb in ("pause", "resume"):
            daemons.send(lay, daemon, signal.SIGSTOP if verb == "pause" else signal.SIGCONT)
        if verb in ("start", "restart"):
            daemons.start(lay, daemon)
        if host and daemon.startswith("nm"):
            sig = {"pause": signal.SIGSTOP, "resume": signal.SIGCONT}.get(verb, signal.SIGKILL)
            daemons.signal_containers(lay, sig, daemon)
    if verb in ("start", "restart"):
        lifecycle.wait_listening(lay, names)


def _status(lay):
    total = 0
    for daemon in lay.daemons():
        pid = daemons.pid(lay, daemon)
        used = probe.memory_mib(pid) if pid else 0
        total += used
        print(f"{daemon:5} {f'pid {pid}' if pid else 'down':12} {used:5} MiB  {daemons.log_file(lay, daemon)}")
    print(f"total {total} MiB")
    for j, rm in enumerate(lay.rm_names() if lay.ha else [], 1):
        info = probe.get(f"http://{lay.web(lay.rm_port(j, 'webapp.address'))}/ws/v1/cluster/info") or {}
        print(rm, info.get("clusterInfo", {}).get("haState", "does not answer"))
    for n in sorted(probe.nodes(lay), key=lambda n: n["id"]):
        print(f"{n['id']:24} {n['state']:10} containers {n['numContainers']} "
              f"used {n['usedMemoryMB']} MiB {n['usedVirtualCores']} vcores")
