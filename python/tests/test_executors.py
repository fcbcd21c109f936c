"""Who seeks a slot for a node in Spark's executors, and when the search ends."""

import os
import tempfile
import unittest
import xml.etree.ElementTree

from tfos import _slot
from tfos.compat import TFCluster, _executors


class FakeSession:
    """A job whose slots are lost when a test says so."""

    def __init__(self):
        self.lost, self.ended, self.stopped, self.pauses = 0, False, None, 0

    def over(self):
        return self.ended

    def losses(self, slot):
        return self.lost

    def wait_lost(self, slot, losses):
        self.ended = True

    def wait_ended(self, timeout):
        self.pauses += 1

    def stop(self, reason):
        self.stopped, self.ended = reason, True


class FakeSpark:
    """Each Spark job is the next of answers: a verdict, or what it raises."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def setJobDescription(self, text):
        pass

    def parallelize(self, items, count):
        return self

    def collect(self):
        answer = self._answers.pop(0)
        if callable(answer):
            answer()
        return [answer]

    mapPartitions = lambda self, f: self  # noqa: E731


def fail(text="no words", before=lambda: None):
    def answer():
        before()
        raise RuntimeError(text)

    return answer


class ExecutorsTest(unittest.TestCase):
    def keep(self, session, *answers, held=True):
        _executors.Slots(FakeSpark(*answers), session, None, 1, held)._keep(0)

    def test_where_nodes_run_by_default(self):
        for master, launcher in {"yarn": "yarn", "local": "local", "local[2]": "local", "local-cluster[2,1,1024]": "executors",
                                 "spark://host:7077": "executors", "k8s://https://host:6443": "executors"}.items():  # fmt: skip
            self.assertEqual(TFCluster._launcher(master), launcher, master)

    def test_a_slot_that_is_never_taken_ends_the_job(self):
        session = FakeSession()
        said = "Traceback\ntfos._slot.Lost: the driver does not answer at h:1\n\tat java"
        self.keep(session, fail(said), fail(said), fail(said))
        self.assertEqual(session.stopped, "Spark holds no slot for node 0: tfos._slot.Lost: the driver does not answer at h:1")

    def test_a_slot_that_is_taken_and_lost_is_sought_again(self):
        session = FakeSession()

        def lose():
            session.lost += 1

        def end():
            session.ended = True

        self.keep(session, *[fail(before=lose)] * 5, fail(before=end))
        self.assertIsNone(session.stopped)

    def test_an_executor_without_room_is_no_failure(self):
        session = FakeSession()
        self.keep(session, *[_slot.REFUSED] * 5, _slot.TAKEN, held=False)
        self.assertEqual((session.pauses, session.stopped), (5, None))

    def test_nodes_know_what_spark_knows_of_hdfs(self):
        class Stream:
            def toByteArray(self):
                return self.written

        class Configuration:
            def writeXml(self, out):
                out.written = b"""<configuration>
                    <property><name>dfs.nameservices</name><value>ns</value><source>hdfs-site.xml</source></property>
                    <property><name>dfs.replication</name><value>3</value><source>hdfs-default.xml</source></property>
                    <property><name>fs.s3a.secret.key</name><value>secret</value><source>programmatically</source></property>
                </configuration>"""

        class Context:
            class _jvm:
                class java:
                    class io:
                        ByteArrayOutputStream = Stream

            class _jsc:
                hadoopConfiguration = Configuration

        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "hdfs-site.xml")
            _executors.write_conf(Context, path)
            names = [p.findtext("name") for p in xml.etree.ElementTree.parse(path).getroot()]
        self.assertEqual(names, ["dfs.nameservices"])


if __name__ == "__main__":
    unittest.main()
