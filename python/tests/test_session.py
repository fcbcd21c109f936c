import os
import stat
import sys
import tempfile
import textwrap
import threading
import unittest

from tfos import _session


class SessionTest(unittest.TestCase):
    def session(self, script):
        """A Session whose `tfos` is this script, which has say(event) and wishes()."""
        directory = tempfile.TemporaryDirectory(prefix="tfos-test-")
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "tfos")
        head = f"""\
            #!{sys.executable}
            import json, sys
            def say(**event):
                print(json.dumps(event), flush=True)
            def wishes():
                return (json.loads(line) for line in sys.stdin)
            """
        with open(path, "w") as f:
            f.write(textwrap.dedent(head) + textwrap.dedent(script))
        os.chmod(path, stat.S_IRWXU)
        os.environ["TFOS"] = path
        self.addCleanup(os.environ.pop, "TFOS")
        self.notes = []
        s = _session.Session("job.yaml", "local", "localhost", self.notes.append)
        self.addCleanup(s.close)
        return s

    def test_a_job_that_runs_and_ends(self):
        s = self.session("""
            say(event="submitted", application="application_1")
            say(event="note", text="a word")
            say(event="running", tasks=[{"role": "worker", "index": 0}])
            for w in wishes():
                if w["do"] == "end":
                    say(event="ended", code=0, text="")
            """)
        self.assertTrue(s.wait_running(60))
        self.assertEqual((s.application, self.notes, len(s.tasks)), ("application_1", ["a word"], 1))
        s.end(["input"])
        self.assertTrue(s.wait_ended(60))
        s.check()

    def test_threads_ask_for_tickets_at_the_same_time(self):
        s = self.session("""
            for n, w in enumerate(wishes()):
                say(event="feeder", address="host:%d" % n, identity="key %d" % n)
            """)
        tickets, ready = [], threading.Barrier(8)

        def ask():
            ready.wait()
            for _ in range(20):
                tickets.append(s.ticket())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len({t.address for t in tickets}), 160)
        self.assertTrue(all(t.address.split(":")[1] == t.identity.split()[1] for t in tickets))
        self.assertNotIn("key", repr(tickets[0]))

    def test_feeders_of_a_job_that_has_ended_well_are_told_by_the_desk(self):
        """A stream goes on for a while after its nodes have had enough."""
        s = self.session("""
            say(event="ended", code=0, text="")
            for w in wishes():
                say(event="feeder", address="host:1", identity="key")
            """)
        self.assertTrue(s.wait_ended(60))
        self.assertEqual(s.ticket().address, "host:1")

    def test_a_settled_error_is_that_of_all_that_has_happened(self):
        s = self.session("""
            for w in wishes():
                say(event="failed", text="worker/0 failed: ValueError")
                say(event="synced")
            """)
        self.assertIsNone(s.error())
        self.assertEqual(str(s.error(settled=True)), "worker/0 failed: ValueError")
        with self.assertRaisesRegex(_session.JobError, "ValueError"):
            s.ticket()

    def test_a_command_that_dies_ends_the_job(self):
        s = self.session("sys.exit(7)")
        with self.assertRaisesRegex(_session.JobError, "exit code 7") as caught:
            s.wait_running(60)
        self.assertEqual(caught.exception.code, 4)
        self.assertIn("exit code 7", str(s.error(settled=True)))

    def test_a_job_that_cannot_begin_says_why_and_what_to_do(self):
        s = self.session("""say(event="ended", code=3, text="there is no room", advice="ask for less")""")
        with self.assertRaisesRegex(_session.JobError, "there is no room\nask for less") as caught:
            s.wait_running(60)
        self.assertEqual(caught.exception.code, 3)

    def test_nodes_that_do_not_come(self):
        self.assertFalse(self.session("for w in wishes(): pass").wait_running(0.01))
