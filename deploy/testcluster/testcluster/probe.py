"""Asks running daemons how they are, over their web pages."""
import json
import re
import socket
import ssl
import urllib.request

from . import daemons
from .tools import Problem

# The keys of a secure cluster's https pages are self-signed. Proxies of the environment are not for loopback.
_OPENER = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context()))


def get(url, method="GET", timeout=5):
    """The JSON at url, or None if nothing useful answers."""
    try:
        with _OPENER.open(urllib.request.Request(url, method=method), timeout=timeout) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def listens(lay, daemon):
    try:
        socket.create_connection(lay.listens(daemon), timeout=1).close()
        return True
    except OSError:
        return False


def name_node(lay):
    """(safe mode is off, live DataNodes)."""
    url = f"https://{lay.web(lay.nn_port('https'))}" if lay.kerberos else f"http://{lay.web(lay.nn_port('http'))}"
    beans = (get(f"{url}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState") or {}).get("beans") or [{}]
    return beans[0].get("FSState") == "Operational", beans[0].get("NumLiveDataNodes", 0)


def resource_manager(lay, path):
    """An answer of the active ResourceManager's REST API; a standby answers with a page that is no JSON."""
    for j, _ in enumerate(lay.rm_names(), 1):
        answer = get(f"http://{lay.web(lay.rm_port(j, 'webapp.address'))}/ws/v1/cluster/{path}")
        if answer:
            return answer
    return {}


def nodes(lay):
    """The NodeManagers, as the ResourceManager knows them."""
    return (resource_manager(lay, "nodes").get("nodes") or {}).get("node") or []


def memory_mib(pid):
    """Proportional set size of a process."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
            return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1]) // 1024
    except (OSError, TypeError):
        return 0


def require_alive(lay, names):
    """A daemon that died is a Problem that says where its log is, and how that ends."""
    for daemon in names:
        if not daemons.pid(lay, daemon):
            log = daemons.log_file(lay, daemon)
            with open(log, encoding="utf-8", errors="replace") as f:
                last = "".join(f.readlines()[-12:])
            raise Problem(f"{daemon} died; its log is {log} and ends:\n{last}")
