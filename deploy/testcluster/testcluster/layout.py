"""Where the files, ports and addresses of one cluster lie.

A cluster owns a directory <home>/run/<name> and a block of 100 ports from its port base. NodeManager I has a loopback
address of its own, 127.0.<port base / 1000>.I, which is its host name too: nothing has to resolve it, so /etc/hosts
stays as it is. The DataNodes share 127.0.0.1 (a NameNode knows a DataNode by the address that its call came from) and
differ by port.

With `--netns` each has a host of its own (package hosts): head for NameNode, ResourceManagers and ZooKeeper; nmI for NodeManager I
and DataNode I; dnI for DataNodes beyond those; gateway for whoever uses the cluster. Their network is 198.18.<port base / 1000>.0/24,
of the block that RFC 2544 keeps for tests.
"""
import dataclasses
import json
import os

from . import jars

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
HOME = os.path.abspath(os.environ.get("TESTCLUSTER_HOME") or f"{CHECKOUT}/build/testcluster")
MAX_DNS, MAX_NMS, MAX_HOLLOW = 7, 200, 2000


@dataclasses.dataclass
class Layout:
    """What `up` was told; kept in <dir>/cluster.json for the commands after it."""
    name: str
    base: int  # the first of the cluster's 100 ports
    version: str
    java: str  # JAVA_HOME
    nms: int = 3
    dns: int = 1
    kerberos: bool = False
    ha: bool = False  # two ResourceManagers
    netns: bool = False  # each host is a network namespace
    hollow: int = 0  # NodeManagers in one JVM, whose containers are connections; then there are no others
    gpus: int = 0  # yarn.io/gpu of each NodeManager
    heap: int = 256  # MiB, of each daemon
    sets: list = dataclasses.field(default_factory=list)  # KEY=VALUE of the user, over ours

    @property
    def dir(self):
        return run_dir(self.name)

    @property
    def conf(self):
        return f"{self.dir}/conf"

    @property
    def excluded(self):
        """The file of NodeManagers' hosts that are not to be used."""
        return f"{self.dir}/excluded-nodes"

    @property
    def krb5(self):
        return f"{self.dir}/krb5"

    def save(self):
        with open(f"{self.dir}/cluster.json", "w", encoding="utf-8") as f:
            json.dump(dataclasses.asdict(self), f, indent=1)

    # -- daemons: nn, dn1…, rm1…, nm1… or hollow, zk, kdc

    def dn_names(self):
        return [f"dn{i}" for i in range(1, self.dns + 1)]

    def rm_names(self):
        return ["rm1", "rm2"] if self.ha else ["rm1"]

    def nm_names(self):
        return [f"nm{i}" for i in range(1, self.nms + 1)]

    def daemons(self):
        """Every daemon of the cluster, in the order of starting."""
        return (["kdc"] if self.kerberos else []) + (["zk"] if self.ha else []) + \
            ["nn"] + self.dn_names() + self.rm_names() + self.nm_names() + (["hollow"] if self.hollow else [])

    # -- hosts

    @property
    def head(self):
        """The host name of NameNode, ResourceManagers, ZooKeeper and KDC."""
        return "head" if self.netns else "localhost"

    def nm_host(self, i):
        return f"nm{i}" if self.netns else f"127.0.{self.base // 1000}.{i}"

    def hollow_hosts(self):
        """The addresses of the NodeManagers that share a JVM."""
        return [f"127.{self.base // 1000}.{i // 250}.{i % 250 + 1}" for i in range(self.hollow)]

    def node_ids(self, names):
        """host:port of the NodeManagers among these daemons, as the ResourceManager knows them."""
        hosts = [self.nm_host(i) for i in range(1, self.nms + 1) if f"nm{i}" in names]
        hosts += self.hollow_hosts() if "hollow" in names else []
        return {f"{host}:{self.nm_port('address')}" for host in hosts}

    def dn_host(self, i):
        if not self.netns:
            return "localhost"
        return self.nm_host(i) if i <= self.nms else f"dn{i}"

    def host(self, daemon):
        """The name of the host that a daemon runs on."""
        kind, i = split(daemon)
        if kind == "hollow":
            return self.hollow_hosts()[-1]
        return self.nm_host(i) if kind == "nm" else self.dn_host(i) if kind == "dn" else self.head

    def hosts(self):
        """The hosts that are network namespaces."""
        if not self.netns:
            return []
        return list(dict.fromkeys(["head", "gateway", *self.nm_names(), *map(self.dn_host, range(1, self.dns + 1))]))

    def address(self, host):
        """The address of a host."""
        if not self.netns:
            return "127.0.0.1" if host == "localhost" else host
        kind, i = split(host)
        return f"198.18.{self.base // 1000}.{ {'nm': 0, 'dn': MAX_NMS, 'head': 250, 'gateway': 251}[kind] + i}"

    def outside_address(self):
        """This machine's address in the network of the hosts."""
        return f"198.18.{self.base // 1000}.254"

    # -- ports

    def nn_port(self, what):
        return self.base + {"rpc": 0, "http": 1, "https": 6}[what]

    def dn_port(self, i, what):
        first = self.base + 70 + 5 * (i - 2)
        if i == 1:
            return self.base + {"data": 2, "http": 3, "ipc": 4, "https": 5}[what]
        return first + {"data": 0, "http": 1, "ipc": 2, "https": 3}[what]

    def rm_port(self, j, what):
        return self.base + 10 * j + {"address": 0, "scheduler.address": 1, "resource-tracker.address": 2,
                                     "admin.address": 3, "webapp.address": 4, "webapp.https.address": 5}[what]

    def zk_port(self):
        return self.base + 40

    def nm_port(self, what):
        """The same for every NodeManager: the addresses differ."""
        return self.base + {"address": 50, "localizer": 51, "webapp": 52, "webapp.https": 53, "collector": 54}[what]

    def containers(self):
        """host:port where somebody plays the containers of hollow NodeManagers."""
        return f"127.0.0.1:{self.base + 61}"

    def kdc_port(self):
        return self.base + 60

    def listens(self, daemon):
        """(host, port) that is open once the daemon serves."""
        kind, i = split(daemon)
        return self.address(self.host(daemon)), {
            "nn": lambda: self.nn_port("rpc"),
            "dn": lambda: self.dn_port(i, "ipc"),
            "rm": lambda: self.rm_port(i, "admin.address" if self.ha else "address"),
            "nm": lambda: self.nm_port("address"),
            "hollow": lambda: self.nm_port("address"),
            "zk": self.zk_port,
            "kdc": self.kdc_port}[kind]()

    def web(self, port):
        """The address of a page of NameNode or ResourceManager, for this machine."""
        return f"{self.address(self.head) if self.netns else 'localhost'}:{port}"

    def class_path(self):
        return jars.class_path(HOME, self.version) + [self.conf]


def run_dir(name):
    return f"{HOME}/run/{name}"


def load(name):
    """The layout of a cluster that `up` made, or None."""
    try:
        with open(f"{run_dir(name)}/cluster.json", encoding="utf-8") as f:
            return Layout(**json.load(f))
    except FileNotFoundError:
        return None


def split(daemon):
    """nm2 → ("nm", 2); nn → ("nn", 1)."""
    kind = daemon.rstrip("0123456789")
    return kind, int(daemon[len(kind):] or 1)
