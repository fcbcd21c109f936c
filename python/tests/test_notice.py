import json
import os
import tempfile
import time
import unittest

import tfos
from tests.fake_agent import FakeAgent


class NoticeTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tfos-test-")
        self.addCleanup(directory.cleanup)
        self.file = os.path.join(directory.name, "notice.json")
        os.environ["TFOS_NOTICE_FILE"] = self.file
        self.addCleanup(os.environ.pop, "TFOS_NOTICE_FILE", None)

    def write(self, deadline):
        with open(self.file, "w", encoding="utf-8") as f:
            json.dump({"reason": "draining", "deadline": "2026-03-01T12:00:00Z", "deadline_unix": deadline, "text": "why", "of_a_later_tfos": 1}, f)

    def test_notice_comes_and_goes(self):
        watch = tfos.termination_watcher()
        self.assertIsNone(tfos.notice())
        self.assertFalse(watch())
        self.write(time.time() + 100)
        n = tfos.notice()
        self.assertEqual((n.reason, n.text), ("draining", "why"))
        self.assertTrue(0 < n.seconds_left() <= 100)
        self.assertTrue(watch())
        os.unlink(self.file)
        self.assertFalse(watch())

    def test_deadline_that_is_over(self):
        self.write(1)
        self.assertEqual(tfos.notice().seconds_left(), 0)

    def test_outside_of_a_task(self):
        del os.environ["TFOS_NOTICE_FILE"]
        with self.assertRaisesRegex(tfos.NotInTask, "tfos run"):
            tfos.notice()


class ClusterTest(unittest.TestCase):
    ANSWER = {"generation": 3, "cluster": {"worker": ["a:1", "b:1"]}, "of_a_later_tfos": 1}

    def test_newest(self):
        with FakeAgent({("GET", "/v1/cluster"): (200, self.ANSWER)}):
            self.assertEqual(tfos.cluster(), tfos.Cluster(3, {"worker": ["a:1", "b:1"]}))

    def test_next(self):
        with FakeAgent({("GET", "/v1/cluster?after=2&wait=1500"): (200, self.ANSWER)}):
            self.assertEqual(tfos.cluster(after=2, timeout=1.5).generation, 3)


if __name__ == "__main__":
    unittest.main()
