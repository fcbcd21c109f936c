"""Nodes in Spark's executors: the driver has Spark hold a slot for each, and finds another one for each that is lost."""

import threading
import xml.etree.ElementTree

from tfos import _slot

_TRIES = 3  # to find a slot before the job ends, if none of them is taken
_PAUSE = 0.5  # before a slot is sought again that an executor had no room for, in seconds
_PROPERTIES = ("dfs.", "ha.", "ipc.", "hadoop.rpc.", "hadoop.socks.")


class Slots:
    """Slots for the nodes of a session, from start on to the job's end.

    Each is held by a Spark job of one task, so that one which is lost fails nobody else. With held the task lives as long as the
    node. Without, it ends when all nodes have slots, so that the rows' feeders have the executor's cores.
    """

    def __init__(self, sc, session, ticket, count, held):
        self._sc, self._session, self._ticket, self._held = sc, session, ticket, held
        self._threads = [threading.Thread(target=self._keep, args=(i,), name=f"tfos node {i}", daemon=True) for i in range(count)]

    def start(self):
        for t in self._threads:
            t.start()

    def join(self, timeout):
        for t in self._threads:
            t.join(timeout)

    def _keep(self, slot):
        failed = 0
        while not self._session.over():
            losses = self._session.losses(slot)
            try:
                self._sc.setJobDescription(f"tfos: node {slot}")
                verdict = self._sc.parallelize([slot], 1).mapPartitions(_Hold(self._ticket, self._held)).collect()[0]
            except Exception as e:
                if self._session.losses(slot) > losses:  # it was taken, and lost: that is the job's master's to judge
                    failed = 0
                    continue
                failed += 1
                if failed == _TRIES and not self._session.over():
                    self._session.stop(f"Spark holds no slot for node {slot}: {_words(e)}")
                    return
                continue
            failed = 0
            if verdict == _slot.TAKEN:
                self._session.wait_lost(slot, losses)
            elif verdict == _slot.REFUSED:
                self._session.wait_ended(_PAUSE)


class _Hold:
    """Runs in a task of Spark."""

    def __init__(self, ticket, held):
        self._ticket, self._held = ticket, held

    def __call__(self, numbers):
        from pyspark import TaskContext

        given = TaskContext.get().resources().get("gpu")
        return [_slot.hold(self._ticket, i, self._held, given and given.addresses) for i in numbers]


def _words(e):
    """What went wrong in a Spark job, without the JVM's stacks."""
    lines = str(e).splitlines()
    own = [line for line in lines if line.startswith(("tfos._slot.Lost:", "_slot.Lost:"))]
    return (own or [line for line in lines if line.strip()] or [repr(e)])[0]


def write_conf(sc, path):
    """Write what Spark knows of HDFS as hdfs-site.xml, for nodes that have no Hadoop configuration."""
    out = sc._jvm.java.io.ByteArrayOutputStream()
    sc._jsc.hadoopConfiguration().writeXml(out)
    found = xml.etree.ElementTree.Element("configuration")
    for p in xml.etree.ElementTree.fromstring(bytes(out.toByteArray())):
        sources = [s.text or "" for s in p.findall("source")]
        if p.findtext("name", "").startswith(_PROPERTIES) and not any(s.endswith("-default.xml") for s in sources):
            found.append(p)
    xml.etree.ElementTree.ElementTree(found).write(path)
