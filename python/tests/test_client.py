"""tfos.client with the real command on its embedded cluster, and the command lines it makes for others."""

import datetime
import json
import os
import stat
import sys
import tempfile
import types
import unittest
from unittest import mock

from tfos import _session, client
from tfos.client import Client, ClusterRefused, InfrastructureFailed, JobError, JobFailed, JobKilled, WrongUsage


def small(command, **more):
    return {"name": "small", "command": command, "roles": {"worker": {"instances": 2, "memory": "256MiB"}}, **more}


class LocalTest(unittest.TestCase):
    """On an embedded cluster."""

    def setUp(self):
        self.client = Client(master="local")

    def local(self, *args, **kwargs):
        job = self.client.submit(*args, **kwargs)
        self.addCleanup(job.close)
        return job

    def test_follows_a_job_to_its_end(self):
        job = self.local(small("echo step 7; echo there"), define={"roles.worker.vcores": 1})
        told, printed = [], []
        status = job.wait(timeout=60, log=printed.append, note=told.append)
        self.assertEqual(
            (status.state, status.exit_code, status.name, [t.name for t in status.tasks]),
            ("succeeded", 0, "small", ["worker/0", "worker/1"]),
        )
        self.assertEqual(printed, ["step 7", "there"])
        self.assertTrue(any(job.id in line for line in told), told)
        self.assertEqual(job.status(), status)
        self.assertEqual([v.exit_code for v in job.watch()], [0])
        self.assertEqual(status.started.tzinfo, datetime.timezone.utc)
        self.assertLess(status.started, status.finished)
        self.assertIs(status.check(), status)
        self.assertEqual(list(job.logs("worker/0"))[-2:], ["step 7", "there"])
        job.kill()  # of a job that has ended nothing is left to do

    def test_says_why_a_job_failed(self):
        job = self.local(small("echo boo; exit 3", recovery={"user-failures": 0}))
        with self.assertRaises(JobFailed) as raised:
            job.wait(timeout=60)
        self.assertEqual(raised.exception.code, 1)
        self.assertIn("exit code 3. Its last line: boo", str(raised.exception))
        with self.assertRaises(JobFailed):
            job.status().check()

    def test_works_on_a_job_that_runs(self):
        job = self.local(small("echo here; exec sleep 600"))
        self.assertIn(job.id, [s.id for s in self.client.list()])
        for line in job.logs("worker/1", follow=True):
            self.assertEqual(line, "here")
            break
        job.scale("worker", 3)
        for view in job.watch():
            if sum(t.state == "running" for t in view.tasks) == 3:
                break
        self.assertIn("worker/2", job._repr_html_())
        self.assertEqual(job.checkpoints(), [])
        with self.assertRaises(TimeoutError):
            job.wait(timeout=0)
        job.kill()
        with self.assertRaises(JobKilled) as raised:
            job.wait(timeout=60)
        self.assertEqual(raised.exception.code, 5)
        job.close()
        with self.assertRaises(WrongUsage):
            job.status()

    def test_what_is_wrong_with_a_job_file(self):
        with self.assertRaises(WrongUsage) as raised:
            self.client.submit({"comand": "true", "roles": {"worker": {}}})
        self.assertIn("did you mean command?", str(raised.exception))
        with self.assertRaises(WrongUsage):
            self.client.submit("none.yaml")

    def test_relative_paths_of_a_dict_start_here(self):
        with tempfile.TemporaryDirectory() as d:
            here = os.getcwd()
            self.addCleanup(os.chdir, here)
            os.chdir(d)
            with open("greeting", "w") as f:
                f.write("hello\n")
            printed = []
            self.local(small("cat greeting", files=["greeting"])).wait(timeout=60, log=printed.append)
            os.chdir(here)
        self.assertEqual(printed, ["hello"])


TASK = {
    "role": "worker", "index": 0, "incarnation": 2, "state": "running", "node": "n1", "container": "c", "address": "n1:1", "step": 7, "steps": 9,
    "steps_per_second": 1.5, "loss": 0.25, "memory_bytes": 2**20, "cpu": 1.0, "log_url": "", "started": "2026-03-01T12:00:00.1234567Z", "finished": None,
    "exit_code": None, "cause": "program", "why": "<script>alert(1)</script>", "new key": 1,
}  # fmt: skip
STATUS = {
    "id": "application_1_0007", "name": "<b>", "queue": "q", "user": "ann", "state": "running", "generation": 1, "started": "2026-03-01T12:00:00Z", "finished": None,
    "exit_code": None, "diagnostics": "", "problems": [], "tracking_url": "javascript:alert(1)", "progress": 0.5, "attempt": 1, "resumed_from": "", "tasks": [TASK],
    "restarts": [], "checkpoints": [{"path": "p", "format": "bundle", "step": 5, "bytes": 9, "time": "2026-03-01T12:00:00+01:00", "verdict": "whole", "by": ""}], "new key": 1,
}  # fmt: skip

FAKE = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["SAW"], "a") as f:
    f.write(json.dumps([sys.argv[1:], sys.stdin.read(), os.environ.get("HADOOP_USER_NAME")]) + "\\n")
said = json.loads(os.environ["SAYS"])[sys.argv[3] if sys.argv[1] == "--master" else ""]
sys.stdout.write(said.get("out", "")); sys.stderr.write(said.get("err", "")); sys.exit(said.get("code", 0))
"""


class ClusterTest(unittest.TestCase):
    """With a command that notes what it is asked, and says what the test wants."""

    def fake(self, says, **env):
        d = tempfile.TemporaryDirectory()
        self.addCleanup(d.cleanup)
        self.saw = os.path.join(d.name, "saw")
        name = os.path.join(d.name, "tfos")
        with open(name, "w") as f:
            f.write(FAKE)
        os.chmod(name, stat.S_IRWXU)
        return Client(tfos=name, env={"SAW": self.saw, "SAYS": json.dumps(says), **env})

    def calls(self):
        with open(self.saw) as f:
            return [json.loads(line) for line in f]

    def test_command_lines(self):
        c = self.fake(
            {"submit": {"out": "application_1_0007\n"}, "resume": {"out": "application_1_0008\n"}, "kill": {}, "scale": {}},
            HADOOP_USER_NAME="ann",
        )
        job = c.submit(
            "job.yaml",
            once="nightly-{date}",
            date="2026-11-30",
            env={"A": "b c"},
            define={"queue": "ml", "checkpoint.local": True},
            args=["--workers", "2"],
        )
        c.submit({"command": "x"})
        self.assertEqual(job.resume(define={"name": "again"}).id, "application_1_0008")
        job.kill()
        job.scale("worker", 4, restart_coordinator=True)
        calls = self.calls()
        self.assertEqual(calls[0][2], "ann")
        self.assertEqual(
            [argv[2:] for argv, _, _ in calls],
            [
                [
                    "submit",
                    "job.yaml",
                    "--once=nightly-{date}",
                    "--date=2026-11-30",
                    "--env=A=b c",
                    "--define=queue=ml",
                    "--define=checkpoint.local=true",
                    "--workers",
                    "2",
                ],
                ["submit", "-"],
                ["resume", "application_1_0007", "--detach", "--define=name=again"],
                ["kill", "application_1_0007"],
                ["scale", "application_1_0007", "worker=4", "--restart-coordinator"],
            ],
        )
        self.assertEqual([text for _, text, _ in calls][:2], ["", '{"command": "x"}'])

    def test_waits_by_following(self):
        c = self.fake(
            {
                "attach": {"out": "a\nb\n", "err": "12:00:00 note\n"},
                "status": {"out": json.dumps(dict(STATUS, state="succeeded", exit_code=0))},
            }
        )
        printed, told = [], []
        self.assertEqual(c.job("application_1_0007").wait(log=printed.append, note=told.append).exit_code, 0)
        self.assertEqual((printed, told), (["a", "b"], ["12:00:00 note"]))

    def test_errors_are_the_commands(self):
        for code, kind in ((2, WrongUsage), (3, ClusterRefused), (4, InfrastructureFailed), (5, JobKilled), (9, InfrastructureFailed)):
            c = self.fake({"status": {"code": code, "err": "12:00:00 a note\ntfos: it is so\n  do this\n"}})
            with self.assertRaises(kind) as raised:
                c.status("application_1_0007")
            self.assertEqual((str(raised.exception), raised.exception.code), ("it is so\n  do this", code if code < 9 else 4))

    def test_a_status_of_a_later_tfos(self):
        s = self.fake({"status": {"out": json.dumps(STATUS)}}).status("application_1_0007")
        self.assertEqual((s.raw["new key"], s.tasks[0].raw["new key"], s.ended), (1, 1, False))
        self.assertEqual(s.tasks[0].started, datetime.datetime(2026, 3, 1, 12, 0, 0, 123456, datetime.timezone.utc))
        self.assertEqual(s.checkpoints[0].time, datetime.datetime(2026, 3, 1, 11, tzinfo=datetime.timezone.utc))
        self.assertTrue(s.checkpoints[0].whole)

    def test_a_notebook_shows_what_it_is_told_and_obeys_none_of_it(self):
        page = self.fake({"status": {"out": json.dumps(STATUS)}}).job("application_1_0007")._repr_html_()
        self.assertIn("<b>&lt;b&gt; (application_1_0007)", page)
        self.assertIn("7 / 9", page)
        for bad in ("<script", "javascript:"):
            self.assertNotIn(bad, page)

    def test_a_notebook_follows_a_job(self):
        later = dict(STATUS, state="succeeded", exit_code=0)
        c = self.fake({"status": {"out": json.dumps(STATUS)}})
        job = c.job("application_1_0007")
        seen = []
        shown = types.SimpleNamespace(update=seen.append)
        display = mock.Mock(return_value=shown)
        ipython = types.SimpleNamespace(HTML=lambda page: page, display=display)
        with mock.patch.dict(sys.modules, {"IPython": types.SimpleNamespace(display=ipython), "IPython.display": ipython}):
            with mock.patch.object(c, "watch", lambda application: iter([client._status(STATUS), client._status(later)])):
                before = set(client.threading.enumerate())
                job._ipython_display_()
                for t in set(client.threading.enumerate()) - before:
                    t.join()
        self.assertEqual(display.call_args, mock.call(client._status(STATUS)._repr_html_(), display_id=True))
        self.assertEqual(seen, [client._status(STATUS)._repr_html_(), client._status(later)._repr_html_()])


class FoundTest(unittest.TestCase):
    """The command is found where pip puts it, without a PATH."""

    def found(self, modules, command):
        os.makedirs(os.path.dirname(command), exist_ok=True)
        with open(command, "w"):
            pass
        os.chmod(command, stat.S_IRWXU)
        with mock.patch.object(_session, "__file__", os.path.join(modules, "tfos", "_session.py")):
            with mock.patch.dict(os.environ, {"PATH": "/nowhere"}):
                for name in ("TFOS", "TFOS_HOME"):
                    os.environ.pop(name, None)
                return _session.find_tfos()

    def test_beside_the_modules(self):
        with tempfile.TemporaryDirectory() as d:
            # pip install --target
            command = os.path.join(d, "bin", "tfos")
            self.assertEqual(self.found(d, command), command)

    def test_in_the_environment(self):
        with tempfile.TemporaryDirectory() as d:
            modules, command = os.path.join(d, "lib", "site-packages"), os.path.join(d, "bin", "tfos")
            paths = {"purelib": modules, "platlib": modules, "scripts": os.path.dirname(command)}
            with mock.patch("sysconfig.get_paths", return_value=paths):
                self.assertEqual(self.found(modules, command), command)
            with mock.patch("sysconfig.get_paths", return_value=dict(paths, purelib="/elsewhere", platlib="/elsewhere")):
                with self.assertRaises(JobError) as raised:
                    self.found(modules, command)
                self.assertEqual(raised.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
