"""gpu_info, as TensorFlowOnSpark's test_TFSparkNode asks for it, with an nvidia-smi that says what it is told."""

import os
import stat
import tempfile
import unittest
from unittest import mock

from tfos.compat import gpu_info, util


class GPUTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.program = os.path.join(directory.name, "nvidia-smi")
        for patch in [mock.patch.dict(os.environ, PATH=directory.name + ":/bin:/usr/bin"), mock.patch.object(gpu_info, "sleep")]:
            patch.start()
            self.addCleanup(patch.stop)
        self.sleep = gpu_info.sleep

    def machine(self, gpus, busy=()):
        """Have gpus GPUs, on some of which a process computes."""
        lines = "\n".join(f"echo '{i}, GPU-{i}'" for i in range(gpus)) or "true"
        apps = "\n".join(f"echo GPU-{i}" for i in busy) or "true"
        uuids = "\n".join(f"echo GPU-{i}" for i in range(gpus)) or "true"
        with open(self.program, "w") as f:
            f.write(f'#!/bin/sh\ncase "$1" in\n--query-gpu=index,uuid)\n{lines};;\n--query-gpu=uuid)\n{uuids};;\n--query-compute-apps=gpu_uuid)\n{apps};;\n*) exit 9;;\nesac\n')
        os.chmod(self.program, stat.S_IRWXU)

    def test_gpu_unavailable(self):
        self.assertFalse(gpu_info.is_gpu_available())  # no driver
        self.machine(0)
        self.assertFalse(gpu_info.is_gpu_available())
        with open(self.program, "w") as f:
            f.write("#!/bin/sh\nexit 6\n")
        self.assertFalse(gpu_info.is_gpu_available())  # a driver that does not work
        with self.assertRaisesRegex(RuntimeError, "num_gpus is 1, and this machine has no GPU"):
            util.single_node_env(1)

    def test_gpu_default(self):
        """One, if nobody asked for a number; none where there is none."""
        util.single_node_env(None)
        self.assertEqual(os.environ["CUDA_VISIBLE_DEVICES"], "")
        self.machine(1)
        util.single_node_env(None)
        self.assertEqual(os.environ["CUDA_VISIBLE_DEVICES"], "0")

    def test_gpu_available(self):
        self.machine(2)
        self.assertTrue(gpu_info.is_gpu_available())
        self.assertEqual(gpu_info.get_gpus(1, 0), "0")
        self.assertEqual(gpu_info.get_gpus(2, 0), "0,1")
        self.assertEqual(gpu_info.get_gpus(1, 1, gpu_info.AS_LIST), ["1"])
        self.assertIn(gpu_info.get_gpus(), ["0", "1"])

    def test_those_that_compute_are_left_alone(self):
        self.machine(4, busy=[0, 2])
        self.assertEqual(gpu_info.get_gpus(2, 0), "1,3")
        self.assertEqual(gpu_info.get_gpus(1, 1), "3")
        self.assertEqual(sorted(gpu_info.get_gpus(2, format=gpu_info.AS_LIST)), ["1", "3"])

    def test_too_few_is_an_error_after_a_few_looks(self):
        self.machine(2, busy=[1])
        with self.assertRaisesRegex(RuntimeError, "1 free GPUs of 2, and worker 0 of it wants 2"):
            gpu_info.get_gpus(2)
        self.assertEqual(self.sleep.call_count, gpu_info.MAX_RETRIES - 1)

    def test_one_that_comes_free_is_taken(self):
        self.machine(1, busy=[0])
        self.sleep.side_effect = lambda _: self.machine(1)
        self.assertEqual(gpu_info.get_gpus(), "0")

    def test_gpu_cluster_spec(self):
        """Those on one machine take different ones."""
        self.machine(4)
        seen = []
        for i in range(4):
            util.single_node_env(2, i, ["a", "b", "a", "b"])
            seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        self.assertEqual(seen, ["0,1", "0,1", "2,3", "2,3"])

    def test_gpu_spark_available(self):
        """Spark's own choice comes before ours."""
        self.machine(4)
        with mock.patch.object(gpu_info, "from_spark", return_value=["3", "2"]):
            util.single_node_env(1)
            self.assertEqual(os.environ["CUDA_VISIBLE_DEVICES"], "3")
            with self.assertRaisesRegex(RuntimeError, "num_gpus is 3, and Spark has given this task 2"):
                util.single_node_env(3)

    def test_gpu_spark_fallback(self):
        """A task that Spark gave no GPU takes one that is free."""
        self.machine(1)
        with mock.patch.object(gpu_info, "from_spark", return_value=None):
            util.single_node_env(1)
        self.assertEqual(os.environ["CUDA_VISIBLE_DEVICES"], "0")

    def test_gpu_spark_unavailable_default(self):
        """On Kubernetes a pod's GPUs are those that Spark gave it: no other is taken."""
        self.machine(1)
        os.environ["SPARK_EXECUTOR_POD_IP"] = "1.2.3.4"
        util.single_node_env(None)
        self.assertEqual(os.environ["CUDA_VISIBLE_DEVICES"], "")

    def test_gpu_spark_unavailable_but_requested(self):
        self.machine(1)
        os.environ["SPARK_EXECUTOR_POD_IP"] = "1.2.3.4"
        with self.assertRaisesRegex(RuntimeError, "num_gpus is 1, and Spark has given this task 0.*spark.task.resource.gpu.amount"):
            util.single_node_env(1)

    def test_no_gpu_is_wanted(self):
        self.machine(4)
        util.single_node_env()
        self.assertEqual(os.environ["CUDA_VISIBLE_DEVICES"], "")


class UtilTest(unittest.TestCase):
    def test_find_in_path(self):
        with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
            path = os.pathsep.join([a, b])
            self.assertIsNone(util.find_in_path(path, "libx.so"))
            open(os.path.join(b, "libx.so"), "w").close()
            self.assertEqual(util.find_in_path(path, "libx.so"), os.path.join(b, "libx.so"))

    def test_executor_id(self):
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
            with self.assertRaisesRegex(FileNotFoundError, "no node was started in"):
                util.read_executor_id()
            util.write_executor_id(7)
            self.assertEqual(util.read_executor_id(), 7)
            os.chdir(here)
