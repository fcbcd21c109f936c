"""A real Spark Standalone on this machine: a master and two workers of one core each, so that each executor is a process of its own.

It is started for the first test that wants it, and ended with the test process: by the process groups that were started here, by no
name. TFOS_TEST_PORTS is the first of the ports. With MASTER=local[2] there is no cluster, for a quick look; with MASTER=yarn the
executors are on the cluster of HADOOP_CONF_DIR. LAUNCHER says where the nodes of tfos are, as spark.tfos.launcher does: on this
machine if it is not set. SPARK_HOSTS are the hosts of a testcluster that tests, master and workers have to themselves: see on-hosts.
"""

import atexit
import ctypes
import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

WORKERS = 2
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Where this process, Spark's master and its workers are.
HERE, _HEAD, *_WORKERS = os.environ.get("SPARK_HOSTS", " ".join(["127.0.0.1"] * (2 + WORKERS))).split()

FIRST_PORT = int(os.environ.get("TFOS_TEST_PORTS", "27000"))

_PORT = FIRST_PORT + 800
_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"  # short lives: starting fast matters more than running fast
_PATIENCE = 300  # seconds for daemons to come up, on a busy machine


class Standalone:
    """The master and the workers."""

    def __init__(self):
        import pyspark

        self.home = os.path.dirname(pyspark.__file__)
        self.directory = tempfile.mkdtemp(prefix="tfos-spark-")
        self.address = f"spark://{_HEAD}:{_PORT}"
        self._processes = []

    def start(self):
        if "MASTER" in os.environ:
            return
        if self._alive():
            raise RuntimeError(f"another Spark Standalone is on port {_PORT}: choose others by TFOS_TEST_PORTS")
        self._daemon(_HEAD, "master.Master", "--port", _PORT, "--webui-port", _PORT + 1)
        for i, host in enumerate(_WORKERS):
            place = os.path.join(self.directory, f"worker{i}")
            self._daemon(host, "worker.Worker", "--cores", 1, "--memory", "2g", "--work-dir", place, "--port", _PORT + 2 + 2 * i,
                         "--webui-port", _PORT + 3 + 2 * i, self.address)
        until = time.monotonic() + _PATIENCE
        while self._alive() < WORKERS:
            if time.monotonic() > until or any(p.poll() is not None for p in self._processes):
                raise RuntimeError(f"Spark Standalone did not come up on ports {_PORT} and up:\n{self._ends_of_logs()}")
            time.sleep(0.2)

    def _daemon(self, host, name, *args):
        where = os.path.join(self.directory, f"{name}-{len(self._processes)}.log")
        command = [*_on(host), os.path.join(self.home, "bin", "spark-class"), "org.apache.spark.deploy." + name, "--host", host]
        with open(where, "wb") as log:
            self._processes.append(subprocess.Popen(
                command + [str(a) for a in args], stdout=log, stderr=log, start_new_session=True, preexec_fn=_end_with_us,
                env=environment(self.home, self.directory, host)))

    def _alive(self):
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{_HEAD}:{_PORT + 1}/json/", timeout=10) as f:
                return sum(w["state"] == "ALIVE" for w in json.load(f)["workers"])
        except (OSError, ValueError):
            return 0

    def _ends_of_logs(self):
        found = []
        for name in sorted(os.listdir(self.directory)):
            if name.endswith(".log"):
                with open(os.path.join(self.directory, name), errors="replace") as f:
                    found.append(f"--- {name}\n{f.read()[-2000:]}")
        return "\n".join(found)

    def stop(self):
        for p in reversed(self._processes):
            _signal(p, signal.SIGTERM)
        for p in self._processes:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                pass
            _signal(p, signal.SIGKILL)  # the group: executors that outlive their worker too
            p.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def _on(host):
    """What precedes a command that runs on a host."""
    return [] if host == HERE else [os.path.join(REPOSITORY, "deploy", "testcluster", "cluster"), "--name", "spark", "on", host]


def _end_with_us():
    """Between fork and exec: a daemon ends even if the tests are killed, and its executors end with it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _signal(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass  # it has ended, and so has its group


def environment(home, directory, host=HERE):
    """The variables of Spark's daemons on a host, whose executors have them too."""
    import pyspark

    path = [os.path.join(REPOSITORY, "python"), os.path.join(REPOSITORY, "python", "names"), os.path.dirname(os.path.dirname(pyspark.__file__)),
            os.path.dirname(os.path.abspath(__file__))]
    return dict(os.environ, SPARK_HOME=home, SPARK_LOCAL_IP=host, SPARK_LOCAL_DIRS=directory, SPARK_DAEMON_MEMORY="256m",
                SPARK_DAEMON_JAVA_OPTS="-Dspark.port.maxRetries=0 -Dspark.master.rest.enabled=false " + _JAVA,  # a port that is taken is another run's cluster
                PYTHONPATH=os.pathsep.join(path), PYSPARK_PYTHON=sys.executable, TF_CPP_MIN_LOG_LEVEL="2", CUDA_VISIBLE_DEVICES="")


_standalone = None


def standalone():
    """The one of this test process."""
    global _standalone
    if _standalone is None:
        found = Standalone()
        atexit.register(found.stop)
        signal.signal(signal.SIGTERM, lambda *_: (found.stop(), os._exit(143)))  # a SystemExit would be one failed test
        faulthandler.register(signal.SIGQUIT)
        found.start()
        _standalone = found
    return _standalone


def settings():
    """Spark's configuration for the tests, on the cluster."""
    cluster = standalone()
    found = {
        "spark.master": os.environ.get("MASTER", cluster.address),
        "spark.driver.host": HERE, "spark.driver.bindAddress": HERE, "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false",
        "spark.executor.extraJavaOptions": _JAVA, "spark.driver.extraJavaOptions": _JAVA,
        "spark.executor.memory": "1g", "spark.driver.memory": "1g", "spark.task.maxFailures": "1",
        "spark.sql.warehouse.dir": os.path.join(cluster.directory, "warehouse"),
    }  # fmt: skip
    found["spark.tfos.launcher"] = os.environ.get("LAUNCHER", "local")  # there are two executors, and programs of three nodes
    if found["spark.master"] == "yarn":
        env = environment(cluster.home, cluster.directory)
        for name in ("PYTHONPATH", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES"):
            found["spark.executorEnv." + name] = env[name]
        found |= {
            "spark.executor.instances": str(WORKERS), "spark.executor.cores": "1", "spark.yarn.am.memory": "512m",
            "spark.yarn.jars": f"local:{cluster.home}/jars/*",  # else 460 MB are uploaded each time
        }  # fmt: skip
    return found


def session(conf=None):
    """The SparkSession of this test process, on the cluster; a new one if a test has stopped the last, or wants a configuration."""
    from pyspark.sql import SparkSession

    cluster = standalone()
    os.environ.update(environment(cluster.home, cluster.directory))
    active = SparkSession.getActiveSession()
    if conf and active is not None:
        active.stop()
    builder = SparkSession.builder.appName("tfos tests")
    for name, value in {**settings(), **(conf or {})}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")  # the tests fail tasks on purpose; what is wrong comes as an exception
    return spark


def submit(program, *args, options=(), on_line=lambda line: None):
    """Run a program by spark-submit, in its own directory, and return what it printed, of which on_line gets each line at once.

    Its Spark has the cluster for itself.
    """
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        active.stop()
    cluster = standalone()
    command = [os.path.join(cluster.home, "bin", "spark-submit"), *options]
    for name, value in settings().items():
        command += ["--conf", f"{name}={value}"]
    directory, name = os.path.split(program)
    printed = []
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        env = dict(environment(cluster.home, cluster.directory), PYTHONUNBUFFERED="1")
        with subprocess.Popen(command + [name, *args], cwd=directory, env=env, stdout=subprocess.PIPE, stderr=log, text=True) as p:
            for line in p.stdout:
                printed.append(line)
                on_line(line)
        if p.returncode:
            log.seek(0)
            raise AssertionError(f"{name} ended with {p.returncode}:\n{''.join(printed)}\n{log.read()[-8000:]}")
    return "".join(printed)


class SparkTest(unittest.TestCase):
    """Has a SparkSession, its context, and a directory that is the test's own."""

    num_workers = WORKERS
    conf = None  # a class that has one has a SparkSession of its own

    @classmethod
    def setUpClass(cls):
        cls.spark = session(cls.conf)
        cls.sc = cls.spark.sparkContext

    @classmethod
    def tearDownClass(cls):
        if cls.conf:
            cls.spark.stop()

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="tfos-test-")
        self.addCleanup(shutil.rmtree, self.directory, True)
