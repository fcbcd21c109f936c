"""Hosts of a cluster as network namespaces (`up --netns`): each has one network card, a name, and a hosts file.

The hosts of a cluster hang on one switch, a bridge in a namespace of its own. This machine has a card there too, so
that what runs on it can look at the daemons; it knows the hosts by address only. A namespace lives as long as its name
or a process in it: `down` ends the processes and then takes the names away, and the cards go with them.
"""
import os
import signal
import subprocess
import time

from .tools import Problem, program, run

RUN = "/run/netns"  # where iproute2 keeps the names
SWITCH = "switch"
NOWHERE = "02:00:00:00:00:01"  # nobody's card: the switch has nowhere to take what is sent there


def up(lay):
    """Makes the hosts, and takes away those that a cluster on the same ports has left behind."""
    ip = program("ip", "iproute2")
    for tool in ("nsenter", "unshare"):
        program(tool, "util-linux")
    if os.geteuid() != 0:
        raise Problem("--netns makes network namespaces: run it as root")
    for host in _left_behind(lay):
        if run(ip, "netns", "pids", _space(lay, host)).strip():
            raise Problem(f"processes of another cluster run in the network namespace {_space(lay, host)}: end that cluster "
                          f"(`cluster --name NAME down`) or what is left of it (`ip netns pids {_space(lay, host)}`), "
                          "or choose another block of ports with --port-base")
    down(lay)
    switch = _space(lay, SWITCH)
    lines = [f"netns add {_space(lay, h)}" for h in [SWITCH, *lay.hosts()]]
    try:
        _batch(ip, lines)
        _batch(ip, [f"link add {SWITCH} type bridge", f"link set {SWITCH} up"], switch)
        _batch(ip, [f"link add {h} type veth peer name eth0 netns {_space(lay, h)}" for h in lay.hosts()], switch)
        _batch(ip, [f"link add {_outside(lay)} type veth peer name outside netns {switch}",
                    f"address add {lay.outside_address()}/24 dev {_outside(lay)}", f"link set {_outside(lay)} up"])
        _batch(ip, [f"link set {port} master {SWITCH} up" for port in ["outside", *lay.hosts()]], switch)
        for host in lay.hosts():
            _batch(ip, ["link set lo up", f"address add {lay.address(host)}/24 dev eth0", "link set eth0 up"],
                   _space(lay, host))
    except Problem as e:
        down(lay)
        raise Problem(f"network namespaces cannot be made here ({e}): in a container that takes --privileged, or the "
                      "capabilities SYS_ADMIN and NET_ADMIN") from e


def down(lay):
    """Takes the hosts away, and what still runs there. Fine if there are none."""
    for host in _left_behind(lay):
        for number in run(program("ip", "iproute2"), "netns", "pids", _space(lay, host)).split():
            try:
                os.kill(int(number), signal.SIGKILL)
            except ProcessLookupError:
                pass
        run(program("ip", "iproute2"), "netns", "delete", _space(lay, host))
    # The kernel takes the cards away a moment later: who makes the same again must not be first.
    end = time.monotonic() + 10
    while os.path.exists(f"/sys/class/net/{_outside(lay)}") and time.monotonic() < end:
        time.sleep(0.01)


def on(lay, host):
    """What precedes a command that runs on a host: it sees the host's network, name and hosts file, and all else as it is."""
    if host not in lay.hosts():
        raise Problem(f"cluster {lay.name} has no host {host}" +
                      (f", but {', '.join(lay.hosts())}" if lay.netns else ": only `up --netns` makes hosts"))
    enter = 'mount --bind "$1" /etc/hosts && echo "$2" >/proc/sys/kernel/hostname && shift 2 && exec "$@"'
    return ["nsenter", f"--net={RUN}/{_space(lay, host)}", "unshare", "--mount", "--uts", "sh", "-c", enter, "sh",
            f"{lay.conf}/hosts", host]


def cut(lay, host, peers):
    """Has the network swallow what a host and its peers send each other, or all that the host sends and gets: nobody is told."""
    if not peers:
        return _link(lay, host, "nomaster")
    for at, to in _pairs(lay, host, peers):
        _ip(lay, at, "neighbour", "replace", lay.address(to), "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")
    return None


def heal(lay, host, peers):
    """Ends what cut began; without peers all of it."""
    if not peers:
        _link(lay, host, "master", SWITCH)
        peers = [h for h in lay.hosts() if h != host]
    for at, to in _pairs(lay, host, peers):
        subprocess.run([program("ip", "iproute2"), "-n", _space(lay, at), "neighbour", "delete", lay.address(to), "dev", "eth0"],
                       stderr=subprocess.DEVNULL, check=False)  # there is none where nothing was cut


def _pairs(lay, host, peers):
    for peer in peers:
        on(lay, peer)  # is there such a host?
        yield from ((host, peer), (peer, host))


def _link(lay, host, *what):
    on(lay, host)
    _ip(lay, SWITCH, "link", "set", host, *what)


def _ip(lay, host, *args):
    run(program("ip", "iproute2"), "-n", _space(lay, host), *args)


def _batch(ip, lines, space=None):
    run(ip, *(["-n", space] if space else []), "-batch", "-", input="\n".join(lines) + "\n")


def _left_behind(lay):
    prefix = _space(lay, "")
    return sorted(n[len(prefix):] for n in (os.listdir(RUN) if os.path.isdir(RUN) else []) if n.startswith(prefix))


def _space(lay, host):
    """The name of a host's namespace: the block of ports tells the clusters of a machine apart."""
    return f"testcluster-{lay.base // 1000}-{host}"


def _outside(lay):
    return f"testcluster-{lay.base // 1000}"  # at most 15 letters
