"""Decommissions NodeManagers gracefully, as an administrator does: with the ResourceManager's exclude file."""
from . import daemons, lifecycle, probe
from .tools import Problem

RM_ADMIN = "org.apache.hadoop.yarn.client.cli.RMAdminCLI"
RECOMMISSION_SECONDS = 3600  # of those that stay drained: the tool wants a number


def drain(lay, names, timeout):
    """Drains NodeManagers, by name or host."""
    _exclude(lay, _excluded(lay) | {_host(lay, n) for n in names}, timeout)


def recommission(lay, names):
    """Takes NodeManagers back and waits until they run."""
    hosts = {_host(lay, n) for n in names}
    _exclude(lay, _excluded(lay) - hosts, RECOMMISSION_SECONDS)
    nms = [f"nm{i}" for i in range(1, lay.nms + 1) if lay.nm_host(i) in hosts]
    states = {n["nodeHostName"]: n["state"] for n in probe.nodes(lay)}
    for i in range(1, lay.nms + 1):
        host, nm = lay.nm_host(i), f"nm{i}"
        if nm not in nms or states.get(host) in ("RUNNING", "DECOMMISSIONING"):
            continue
        daemons.stop(lay, nm)  # told to end by the ResourceManager, it may not have done so yet
        daemons.start(lay, nm)
    lifecycle.wait(lay, nms + lay.rm_names())


def _host(lay, name):
    for i in range(1, lay.nms + 1):
        if name in (f"nm{i}", lay.nm_host(i)):
            return lay.nm_host(i)
    raise Problem(f"cluster {lay.name} has no NodeManager {name}, but nm1 to nm{lay.nms}")


def _excluded(lay):
    with open(lay.excluded, encoding="utf-8") as f:
        return set(f.read().split())


def _exclude(lay, hosts, timeout):
    with open(lay.excluded, "w", encoding="utf-8") as f:
        f.write("".join(f"{h}\n" for h in sorted(hosts)))
    daemons.run_java(lay, RM_ADMIN, "-refreshNodes", "-g", str(timeout), "-server")
