import contextlib
import io
import os
import sys
import tempfile
import types
import unittest
from unittest import mock

from tfos.compat import node


class TensorboardTest(unittest.TestCase):
    """With a TensorBoard that says how it is called."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tfos-test-")
        self.addCleanup(directory.cleanup)
        self.dir = directory.name
        os.mkdir(os.path.join(self.dir, "tensorboard"))
        for name, text in (("__init__", ""), ("main", "import sys\nwith open(sys.argv[0] + '.called', 'w') as f:\n    f.write(' '.join(sys.argv[1:]))\n")):
            with open(os.path.join(self.dir, "tensorboard", name + ".py"), "w") as f:
                f.write(text)

    def call(self, log_dir, **env):
        """How it is called; None: it is not."""
        path = os.path.join(self.dir, "tensorboard", "main.py.called")
        with mock.patch.dict(os.environ, PYTHONPATH=self.dir, **env), mock.patch.object(sys, "path", [self.dir, *sys.path]):
            process = node._start_tensorboard({"log_dir": log_dir}, types.SimpleNamespace(executor_id=3))
        if process is None:
            return None
        self.assertEqual(process.wait(), 0)
        with open(path) as f:
            return f.read()

    def test_it_is_started_where_there_is_a_port(self):
        self.assertIsNone(self.call("hdfs:///logs"))
        self.assertEqual(self.call("hdfs:///logs", TB_PORT="4711"), "--logdir hdfs:///logs --bind_all --port 4711 --reload_interval 5")

    def test_behind_a_proxy_and_without_log_dir(self):
        called = self.call(None, TB_PORT="1", TFOS_TENSORBOARD_PATH="/proxy/a/tensorboard")
        self.assertEqual(called, "--logdir tensorboard_3 --bind_all --port 1 --reload_interval 5 --path_prefix /proxy/a/tensorboard")

    def test_a_node_without_one_goes_on(self):
        said = io.StringIO()
        with mock.patch.object(node.importlib.util, "find_spec", return_value=None), contextlib.redirect_stderr(said):
            self.assertIsNone(self.call("logs", TB_PORT="1"))
        self.assertIn("pip install tensorboard", said.getvalue())


class OpError(Exception):
    pass


class UnavailableError(OpError):
    pass


class AbortedError(OpError):
    pass


class FailureTest(unittest.TestCase):
    """What a node that failed tells the driver, which then ends the job."""

    def told(self, e, retry=False):
        control = mock.Mock()
        tf = types.SimpleNamespace(errors=types.SimpleNamespace(OpError=OpError, UnavailableError=UnavailableError, AbortedError=AbortedError))
        with mock.patch.dict(sys.modules, tensorflow=tf), mock.patch.object(node._paced.Paced, "peer_lost", return_value=False):
            with contextlib.redirect_stderr(io.StringIO()):
                try:
                    raise e
                except Exception as e:
                    self.assertEqual(node._failed(e, control, {"retry": retry}), 1)
        return control.fail.called

    def test_the_programs_own_exception_is_told(self):
        self.assertTrue(self.told(ValueError("no such column")))
        self.assertTrue(self.told(OpError("shapes do not match")))
        self.assertFalse(self.told(ValueError("no such column"), retry=True))

    def test_what_comes_of_a_lost_peer_is_for_the_master(self):
        for e in (UnavailableError("Socket closed"), AbortedError("a peer is gone"), OpError("Collective ops is aborted by: Connection reset")):
            self.assertFalse(self.told(e))
        self.assertTrue(self.told(RuntimeError("Collective ops is aborted, says the program")))
