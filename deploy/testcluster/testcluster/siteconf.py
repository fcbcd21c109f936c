"""Writes the configuration of a cluster: *-site.xml, capacity-scheduler.xml, log4j.properties, the JVMs' hosts file.

A few values differ between daemons of one kind. Those are ${name} in the files and -Dname=… on the daemon's command
line; the files also give each a default, so that clients can read them.
"""
import os
import shutil
import socket
from xml.sax.saxutils import escape

from . import jars, kerberos
from .layout import HOME

CAPACITY = "org.apache.hadoop.yarn.server.resourcemanager.scheduler.capacity.CapacityScheduler"
STORES = "org.apache.hadoop.yarn.server.resourcemanager.recovery"
SCHEDULER_PREFIX = "yarn.scheduler.capacity."


def write(lay):
    """Writes everything into the cluster's conf directory, and a second one for DistributedShell."""
    os.makedirs(lay.conf, exist_ok=True)
    core, hdfs, yarn, queues = _core(lay), _hdfs(lay), _yarn(lay), _queues()
    if lay.ha:
        _two_resource_managers(lay, core, yarn)
    if lay.gpus:
        _gpus(lay, yarn)
    if lay.kerberos:
        kerberos.secure(lay, core, hdfs, yarn)
    for pair in lay.sets:
        key, value = pair.split("=", 1)
        site = queues if key.startswith(SCHEDULER_PREFIX) else \
            hdfs if key.startswith("dfs.") else yarn if key.startswith("yarn.") else core
        site[key] = value
    xml(f"{lay.conf}/core-site.xml", core)
    xml(f"{lay.conf}/hdfs-site.xml", hdfs)
    xml(f"{lay.conf}/yarn-site.xml", yarn)
    xml(f"{lay.conf}/mapred-site.xml", {"mapreduce.framework.name": "yarn"})
    xml(f"{lay.conf}/capacity-scheduler.xml", queues)
    _plain_files(lay)
    _dshell(lay, yarn)


def xml(path, properties):
    with open(path, "w", encoding="utf-8") as f:
        f.write('<?xml version="1.0"?>\n<configuration>\n')
        for key, value in properties.items():
            f.write(f"  <property><name>{escape(key)}</name><value>{escape(value)}</value></property>\n")
        f.write("</configuration>\n")


def _core(lay):
    return {
        "fs.defaultFS": f"hdfs://{lay.head}:{lay.nn_port('rpc')}",
        "hadoop.tmp.dir": f"{lay.dir}/tmp",
        "ipc.client.connect.max.retries": "3",
    }


def _hdfs(lay):
    return {
        "dfs.replication": "1",
        "dfs.namenode.name.dir": f"file://{lay.dir}/nn", "dfs.datanode.data.dir": "file://${dn.dir}",
        "dfs.namenode.http-address": f"{lay.head}:{lay.nn_port('http')}",
        "dfs.namenode.https-address": f"{lay.head}:{lay.nn_port('https')}",
        "dfs.datanode.address": "${dn.host}:${dn.data.port}",
        "dfs.datanode.http.address": "${dn.host}:${dn.http.port}",
        "dfs.datanode.https.address": "${dn.host}:${dn.https.port}",
        "dfs.datanode.ipc.address": "${dn.host}:${dn.ipc.port}",
        **{f"dn.{what}.port": str(lay.dn_port(1, what)) for what in ("data", "http", "https", "ipc")},
        "dn.dir": f"{lay.dir}/dn1", "dn.host": lay.dn_host(1), "dfs.datanode.hostname": "${dn.host}",
        "dfs.namenode.safemode.extension": "0",
        "dfs.namenode.fs-limits.min-block-size": "0",  # tests want files of several small blocks
        "dfs.namenode.edits.noeditlogchannelflush": "true",  # no fsync: a test cluster
        "dfs.datanode.disk.check.min.gap": "0",
        # a lost DataNode is noticed after 2 × recheck + 10 × heartbeat = 12 s
        "dfs.heartbeat.interval": "1", "dfs.namenode.heartbeat.recheck-interval": "1000",
    }


def _yarn(lay):
    yarn = {
        "yarn.application.classpath": f"{lay.conf},{jars.directory(HOME, lay.version)}/*",
        "yarn.resourcemanager.scheduler.class": CAPACITY,
        "yarn.scheduler.minimum-allocation-mb": "128",
        "yarn.scheduler.maximum-allocation-mb": "8192", "yarn.scheduler.maximum-allocation-vcores": "8",
        "yarn.nodemanager.resource.memory-mb": "8192", "yarn.nodemanager.resource.cpu-vcores": "8",
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.container-executor.class":
            "org.apache.hadoop.yarn.server.nodemanager.DefaultContainerExecutor",
        # the disks of this machine are not the test's business
        "yarn.nodemanager.disk-health-checker.enable": "false",
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "100",
        "yarn.log-aggregation-enable": "true",
        "yarn.nodemanager.remote-app-log-dir": "/app-logs",
        "yarn.log-aggregation.retain-seconds": "86400",
        # recovery, and losses noticed soon
        "yarn.resourcemanager.recovery.enabled": "true",
        "yarn.resourcemanager.work-preserving-recovery.enabled": "true",
        "yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms": "2000",
        "yarn.resourcemanager.store.class": f"{STORES}.FileSystemRMStateStore",
        "yarn.resourcemanager.fs.state-store.uri": f"file://{lay.dir}/rmstate",
        "yarn.nm.liveness-monitor.expiry-interval-ms": "10000",
        "yarn.am.liveness-monitor.expiry-interval-ms": "20000",
        "yarn.resourcemanager.connect.retry-interval.ms": "1000",
        "yarn.resourcemanager.nodes.exclude-path": lay.excluded,
        "yarn.resourcemanager.decommissioning-nodes-watcher.poll-interval-secs": "1",
        "yarn.nodemanager.recovery.enabled": "true",
        "yarn.nodemanager.recovery.supervised": "true",  # a stopping NodeManager leaves its containers alive
        "yarn.nodemanager.recovery.dir": "${nm.dir}/recovery",
        "yarn.nodemanager.local-dirs": "${nm.dir}/local", "yarn.nodemanager.log-dirs": "${nm.dir}/logs",
        "yarn.nodemanager.hostname": "${nm.host}",
        "yarn.nodemanager.address": f"${{nm.host}}:{lay.nm_port('address')}",
        "yarn.nodemanager.localizer.address": f"${{nm.host}}:{lay.nm_port('localizer')}",
        "yarn.nodemanager.webapp.address": f"${{nm.host}}:{lay.nm_port('webapp')}",
        "yarn.nodemanager.webapp.https.address": f"${{nm.host}}:{lay.nm_port('webapp.https')}",
        "yarn.nodemanager.collector-service.address": f"${{nm.host}}:{lay.nm_port('collector')}",
        "yarn.resourcemanager.placement-constraints.handler": "scheduler",
        "nm.host": "localhost", "nm.dir": f"{lay.dir}/nm0",
    }
    for j, rm in enumerate(lay.rm_names(), 1):
        suffix = f".{rm}" if lay.ha else ""
        yarn[f"yarn.resourcemanager.hostname{suffix}"] = lay.head
        for key in ("address", "scheduler.address", "resource-tracker.address", "admin.address", "webapp.address",
                    "webapp.https.address"):
            yarn[f"yarn.resourcemanager.{key}{suffix}"] = f"{lay.head}:{lay.rm_port(j, key)}"
    return yarn


def _queues():
    queues = {"root.queues": "default,other"}
    for queue, share in (("default", "80"), ("other", "20")):
        queues |= {f"root.{queue}.capacity": share, f"root.{queue}.maximum-capacity": "100",
                   f"root.{queue}.user-limit-factor": "10"}
    queues |= {"maximum-am-resource-percent": "0.5",
               "resource-calculator": "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator"}
    return {SCHEDULER_PREFIX + key: value for key, value in queues.items()}


def _two_resource_managers(lay, core, yarn):
    zk = {"hadoop.zk.address": f"{lay.head}:{lay.zk_port()}", "hadoop.zk.timeout-ms": "4000"}
    core |= zk
    yarn |= zk | {
        "yarn.resourcemanager.ha.enabled": "true", "yarn.resourcemanager.ha.rm-ids": "rm1,rm2",
        "yarn.resourcemanager.cluster-id": lay.name,
        "yarn.resourcemanager.store.class": f"{STORES}.ZKRMStateStore",
        "yarn.client.failover-sleep-base-ms": "100", "yarn.client.failover-sleep-max-ms": "1000",
    }
    if lay.version.startswith("2."):  # the older names
        yarn["yarn.resourcemanager.zk-address"] = zk["hadoop.zk.address"]
        yarn["yarn.resourcemanager.zk-timeout-ms"] = zk["hadoop.zk.timeout-ms"]
    with open(f"{lay.conf}/zoo.cfg", "w", encoding="utf-8") as f:
        f.write(f"tickTime=500\ndataDir={lay.dir}/zk\nclientPort={lay.zk_port()}\nclientPortAddress={lay.address(lay.head)}\n"
                "admin.enableServer=false\nmaxClientCnxns=0\nminSessionTimeout=1000\nmaxSessionTimeout=20000\n")


def _gpus(lay, yarn):
    """A counted resource without a device plugin: the scheduler counts it, nothing isolates it."""
    count = {"yarn.nodemanager.resource-type.yarn.io/gpu": str(lay.gpus)}
    xml(f"{lay.conf}/resource-types.xml", {"yarn.resource-types": "yarn.io/gpu"})
    xml(f"{lay.conf}/node-resources.xml", count)
    yarn |= count | {"yarn.resource-types": "yarn.io/gpu"}


def _plain_files(lay):
    with open(f"{lay.conf}/log4j.properties", "w", encoding="utf-8") as f:
        f.write("log4j.rootLogger=INFO,console\n"
                "log4j.appender.console=org.apache.log4j.ConsoleAppender\n"
                "log4j.appender.console.target=System.err\n"
                "log4j.appender.console.layout=org.apache.log4j.PatternLayout\n"
                "log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n\n"
                "log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR\n")
    # With this the JVMs ask no name server, and on loopback take the NodeManagers' addresses as their names. The last name is what
    # the ZooKeeper client of Hadoop 2.10 makes of localhost: it cuts a host out of a text that newer JDKs write otherwise.
    open(lay.excluded, "a", encoding="utf-8").close()
    with open(f"{lay.conf}/hosts", "w", encoding="utf-8") as f:
        f.write(f"127.0.0.1 localhost {socket.gethostname()} localhost/<unresolved>\n")
        f.writelines(f"{lay.address(host)} {host}\n" for host in lay.hosts())


def _dshell(lay, yarn):
    """DistributedShell brings jars of its own version to its containers."""
    conf, version = f"{lay.dir}/conf-dshell", jars.dshell_versions(lay.version)[1]
    shutil.copytree(lay.conf, conf, dirs_exist_ok=True)
    xml(f"{conf}/yarn-site.xml",
        yarn | {"yarn.application.classpath": f"{conf},{jars.directory(HOME, version)}/*"})
