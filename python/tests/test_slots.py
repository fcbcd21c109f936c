import unittest
from unittest import mock

from tfos.compat import _slots


class SlotsTest(unittest.TestCase):
    def require(self, count, slots_at):
        """Require count slots where there are slots_at(seconds), in time of our own; return how many seconds it took."""
        now = [0.0]

        def sleep(seconds):
            now[0] += seconds

        with mock.patch.object(_slots, "_slots", lambda sc: slots_at(now[0])):
            try:
                _slots.require(None, count, clock=lambda: now[0], sleep=sleep)
            except _slots.TooFew as e:
                return str(e), now[0]
        return "", now[0]

    def test_executors_that_come_late_are_waited_for(self):
        self.assertEqual(self.require(2, lambda t: 2), ("", 0.0))
        said, took = self.require(3, lambda t: min(int(t / 4), 3))
        self.assertEqual((said, round(took)), ("", 12))

    def test_too_few_are_told_soon_after_the_last_came(self):
        said, took = self.require(3, lambda t: 2)
        self.assertIn("3 nodes are to run at the same time, and Spark has place for 2 tasks", said)
        self.assertLess(took, 6)
        said, took = self.require(3, lambda t: int(t > 10))
        self.assertLess(took, 16)

    def test_no_executor_at_all(self):
        said, took = self.require(1, lambda t: 0)
        self.assertIn("place for 0 tasks", said)
        self.assertLess(took, 70)
