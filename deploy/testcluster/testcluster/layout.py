"""Where the files, ports and addresses of one cluster lie.

A cluster owns a directory <home>/run/<name> and a block of 100 ports from its port base. NodeManager I has a loopback
address of its own, 127.0.<port base / 1000>.I, which is its host name too: nothing has to resolve it, so /etc/hosts
stays as it is. The DataNodes share 127.0.0.1 (a NameNode knows a DataNode by the address that its call came from) and
differ by port.
"""
import dataclasses
import json
import os

from . import jars

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
HOME = os.path.abspath(os.environ.get("TESTCLUSTER_HOME") or f"{CHECKOUT}/build/testcluster")
MAX_DNS, MAX_NMS = 7, 250


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

    # -- daemons: nn, dn1…, rm1…, nm1…, zk, kdc

    def dn_names(self):
        return [f"dn{i}" for i in range(1, self.dns + 1)]

    def rm_names(self):
        return ["rm1", "rm2"] if self.ha else ["rm1"]

    def nm_names(self):
        return [f"nm{i}" for i in range(1, self.nms + 1)]

    def daemons(self):
        """Every daemon of the cluster, in the order of starting."""
        return (["kdc"] if self.kerberos else []) + (["zk"] if self.ha else []) + \
            ["nn"] + self.dn_names() + self.rm_names() + self.nm_names()

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

    def kdc_port(self):
        return self.base + 60

    def nm_host(self, i):
        return f"127.0.{self.base // 1000}.{i}"

    def listens(self, daemon):
        """(host, port) that is open once the daemon serves."""
        kind, i = split(daemon)
        return {"nn": ("127.0.0.1", self.nn_port("rpc")),
                "dn": ("127.0.0.1", self.dn_port(i, "ipc")),
                "rm": ("127.0.0.1", self.rm_port(i, "admin.address" if self.ha else "address")),
                "nm": (self.nm_host(i), self.nm_port("address")),
                "zk": ("127.0.0.1", self.zk_port()),
                "kdc": ("127.0.0.1", self.kdc_port())}[kind]

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
