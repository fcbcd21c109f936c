"""The files for cron, systemd and Azkaban, each read by what will read it, and their command lines carried out: tfos is a script that says how
it was called, and ends as it is told. What the real one does with such a call, test/e2e shows.
"""

import datetime
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHIPPED = ROOT / "deploy" / "schedulers"
NIGHT = ["--once", "{name}-{date}", "--date"]


class Files(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = pathlib.Path(home.name)
        fake = self.home / "tfos"
        fake.write_text('#!/bin/sh\nfor a; do echo "$a" >>"$CALL"; done\necho the last words >&2\nexit "$CODE"\n')
        fake.chmod(0o755)
        self.call = self.home / "call"

    def run_line(self, *line, code=0, **env):
        self.call.write_text("")
        everything = dict(os.environ, HOME=str(self.home), PATH=f"{self.home}:{os.environ['PATH']}", CALL=str(self.call), CODE=str(code), **env)
        done = subprocess.run(line, cwd=self.home, env=everything, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
        return done.returncode, done.stdout

    def arguments(self):
        return self.call.read_text().splitlines()

    def test_cron(self):
        crontab = (SHIPPED / "cron" / "tfos.cron").read_text()
        [line] = [row for row in crontab.splitlines() if re.match(r"[\d*]", row)]
        minute, hour, day, month, weekday, user, command = re.split(r"\s+", line, maxsplit=6)
        self.assertEqual((minute, hour, day, month, weekday, user), ("0", "2", "*", "*", "*", "train"))
        self.assertEqual(command.split()[0], "tfos-nightly")
        command = str(SHIPPED / "cron") + "/" + command
        self.assertEqual(self.run_line("sh", "-c", command), (0, ""), "a good night says nothing")
        night = datetime.date.today().isoformat()
        want = ["run"] + NIGHT + [night, "--retries", "2", "--resume", "/srv/models/digits/job.yaml", "--timeout", "6h"]
        self.assertEqual(self.arguments(), want)
        for code in (1, 3, 130):
            got, said = self.run_line("sh", "-c", command, code=code)
            self.assertEqual(got, code)
            self.assertIn(f"exit code {code}", said)
            self.assertIn("the last words", said)
        self.assertEqual(self.run_line("sh", str(SHIPPED / "cron" / "tfos-nightly"))[0], 2)

    def test_systemd(self):
        units = [str(SHIPPED / "systemd" / f"tfos-nightly@.{kind}") for kind in ("service", "timer")]
        if shutil.which("systemd-analyze"):  # a machine without systemd still has the command lines to try
            self.assertEqual(self.run_line("systemd-analyze", "verify", *units), (0, ""))
        unit = pathlib.Path(units[0]).read_text()
        run = self.home / "run"
        run.mkdir()

        def start():
            for key in ("ExecStartPre", "ExecStart"):
                [line] = re.findall(f"^{key}=(.*)$", unit, re.M)
                for specifier, value in (("%i", "digits"), ("%%", "%"), ("$$", "$")):
                    line = line.replace(specifier, value)
                self.assertEqual(self.run_line("sh", "-c", line, RUNTIME_DIRECTORY=str(run), TFOS_ARGUMENTS="--timeout 1h")[0], 0)

        start()
        today = datetime.date.today().isoformat()
        want = ["run", "/etc/tfos/digits.yaml"] + NIGHT + [today, "--resume", "--timeout", "1h"]
        self.assertEqual(self.arguments(), want)
        (run / "night").write_text("2026-11-29\n")  # it was started before midnight, and again after
        start()
        self.assertIn("2026-11-29", self.arguments())
        for setting in ("Restart=on-failure", "RestartPreventExitStatus=2 3 5 6", "SuccessExitStatus=130", "RuntimeDirectoryPreserve=restart"):
            self.assertRegex(unit, f"(?m)^{re.escape(setting)}$")

    def azkaban(self, code):
        project = self.home / "project"
        project.mkdir(exist_ok=True)
        (project / "train.job").write_text((SHIPPED / "azkaban" / "train.job").read_text())
        java = ["java", "-cp", f"{ROOT}/build/azkaban/*", str(HERE / "Azkaban.java"), str(project), "2026", "11", "30"]
        return self.run_line(*java, code=code)

    def test_azkaban(self):
        code, said = self.azkaban(0)
        self.assertEqual(code, 0, said)
        self.assertIn("flows: [train]", said)
        want = ["run", "job.yaml"] + NIGHT + ["2026-11-30", "--retries", "2", "--resume", "--kill-on-exit"]
        self.assertEqual(self.arguments(), want)
        code, said = self.azkaban(3)
        self.assertEqual(code, 1)
        self.assertIn("train failed: azkaban.jobExecutor.utils.process.ProcessFailureException", said)
        self.assertIn("the last words", said)

    def test_jar_in_an_action_of_oozie(self):
        for companion in ("tfos-am", "tfos-agent", "tfos-builtin"):
            (self.home / companion).write_text(companion)
        (self.home / "tfos").write_text('#!/bin/sh\necho "$1 as $HADOOP_USER_NAME, tagged $TFOS_TAGS"\nexit 3\n')
        jar, action = self.home / "tfos.jar", self.home / "action.xml"
        subprocess.run([ROOT / "deploy" / "jar" / "build", self.home, jar], check=True)
        action.write_text(
            "<configuration><property><name>a</name><value>b</value></property>"
            "<property><name>oozie.child.mapreduce.job.tags</name><value>oozie-1a2b</value></property></configuration>"
        )
        told = [f"-Doozie.action.conf.xml={action}", "-Dsubmitter.user=ada"]
        env = {"TFOS_JAR_DIR": str(self.home / "unpacked")}
        code, said = self.run_line("env", "-u", "HADOOP_USER_NAME", "java", *told, "-jar", str(jar), "run", **env)
        self.assertEqual((code, said), (3, "run as ada, tagged oozie-1a2b\n"))


if __name__ == "__main__":
    unittest.main()
