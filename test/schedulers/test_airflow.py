"""The operator under a real Airflow: its own `dags test` runs the DAGs of local.py, whose jobs run on this machine.

What a deferred task does wants no cluster either: tfos is faked there, by a script that says what it is told to.
"""

import asyncio
import json
import os
import pathlib
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import unittest

from airflow.triggers.base import BaseTrigger

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
AIRFLOW = os.path.join(os.path.dirname(sys.executable), "airflow")
DEFERS = hasattr(BaseTrigger, "on_kill")

# What a job looks like to the fake: it runs when it is asked for the first time, and has ended afterwards.
FAKE = """#!/bin/sh
echo "$@" >>"$FAKE_CALLS"
case $1$2$3 in *kill*) exit 0;; esac
case "$*" in
*submit*) echo application_1700000000000_0001;;
*attach*) echo the work;;
*status*)
	if [ -e "$FAKE_CALLS.ended" ]; then state=succeeded code=0; else state=running code=null; touch "$FAKE_CALLS.ended"; fi
	printf '{"id": "application_1700000000000_0001", "name": "fake", "queue": "", "user": "", "state": "%s", "generation": 1, "started": null, "finished": null, "exit_code": %s, "diagnostics": "", "problems": [], "tracking_url": "http://rm/proxy/application_1700000000000_0001/", "progress": 0, "attempt": 1, "resumed_from": "", "tasks": [], "restarts": [], "checkpoints": []}\\n' $state $code;;
esac
"""


class Airflow(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory()
        fake = pathlib.Path(cls.home.name, "fake")
        fake.write_text(FAKE)
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
        cls.calls = pathlib.Path(cls.home.name, "calls")
        cls.env = dict(
            os.environ,
            AIRFLOW_HOME=cls.home.name,
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__CORE__DAGS_FOLDER=str(HERE / "local"),
            TFOS=str(ROOT / "bin" / "tfos"),
            FAKE_TFOS=str(fake),
            FAKE_CALLS=str(cls.calls),
        )
        cls.airflow("db", "migrate")

    @classmethod
    def tearDownClass(cls):
        cls.home.cleanup()

    @classmethod
    def airflow(cls, *args, code=0):
        done = subprocess.run([AIRFLOW, *args], env=cls.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
        if done.returncode != code:
            raise AssertionError(f"airflow {args}: exit code {done.returncode}, want {code}\n{done.stdout[-6000:]}")
        return done.stdout

    def xcom(self, dag, key):
        db = sqlite3.connect(os.path.join(self.home.name, "airflow.db"), timeout=60)
        rows = db.execute("SELECT value FROM xcom WHERE dag_id = ? AND key = ?", (dag, key)).fetchall()
        self.assertEqual(len(rows), 1, f"{dag}: {key}")
        value = json.loads(rows[0][0])
        return json.loads(value) if isinstance(value, str) and value.startswith("{") else value

    def test_provider(self):
        self.assertIn("tfos_airflow.operator.TfosLink", self.airflow("providers", "links"))

    def test_good(self):
        self.assertIn("the work", self.airflow("dags", "test", "good", "2026-11-30"))
        result = self.xcom("good", "return_value")
        self.assertEqual((result["state"], result["exit_code"]), ("succeeded", 0))
        self.assertEqual(result["application_id"], self.xcom("good", "application_id"))

    def test_bad(self):
        self.assertIn("exit code 1: bad", self.airflow("dags", "test", "bad", "2026-11-30", code=1))

    def test_the_end_of_the_task_is_the_end_of_the_job(self):
        p = subprocess.Popen(
            [AIRFLOW, "dags", "test", "stays", "2026-11-30"],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        said = []
        for line in p.stdout:
            said.append(line)
            if "the work of stays" in line and "echo" not in line and not any("the work of stays" in s and "echo" not in s for s in said[:-1]):
                p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(), 1)
        self.assertIn("was killed", "".join(said))

    if DEFERS:

        def test_deferred(self):
            self.assertIn("the work", self.airflow("dags", "test", "deferred", "2026-11-30"))
            self.assertEqual(self.xcom("deferred", "tracking_url"), "http://rm/proxy/application_1700000000000_0001/")
            self.assertEqual(self.xcom("deferred", "return_value")["state"], "succeeded")
            self.assertIn("--once=airflow-deferred-train-", self.calls.read_text())

    def test_deferrable_where_the_job_could_not_be_ended(self):
        from airflow.exceptions import AirflowException
        from tfos_airflow import TfosOperator

        if DEFERS:
            TfosOperator(task_id="train", job="job.yaml", deferrable=True)
        else:
            with self.assertRaisesRegex(AirflowException, "3.3"):
                TfosOperator(task_id="train", job="job.yaml", deferrable=True)

    def test_trigger(self):
        from tfos_airflow import TfosTrigger

        os.environ.update(FAKE_CALLS=self.home.name + "/trigger")
        trigger = TfosTrigger("application_1700000000000_0001", "", self.env["FAKE_TFOS"], 0.01)
        path, arguments = trigger.serialize()
        self.assertEqual(path, f"{TfosTrigger.__module__}.TfosTrigger")
        again = TfosTrigger(**arguments)

        async def first(t):
            async for event in t.run():
                return event.payload

        self.assertEqual(asyncio.run(first(again)), {"application": "application_1700000000000_0001", "late": False})
        os.remove(self.home.name + "/trigger.ended")
        late = TfosTrigger(**dict(arguments, deadline=1.0))
        self.assertTrue(asyncio.run(first(late))["late"])
        asyncio.run(again.on_kill())
        self.assertIn("kill application_1700000000000_0001", pathlib.Path(self.home.name, "trigger").read_text())


if __name__ == "__main__":
    unittest.main()
