"""One function in many Spark tasks at the same time, each with a TensorFlow of its own: no cluster, nothing that they share."""

import getpass
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List

from tfos.compat import _paths, _slots, util

if TYPE_CHECKING:
    from pyspark import SparkContext

__all__ = ["Context", "run"]


class Context:
    """What map_fn learns of the task it runs in. It has the names of a node's context; a task here has no peers."""

    job_name = "worker"

    def __init__(self, executor_id: int, num_workers: int, default_fs: str):
        self.executor_id = self.worker_num = self.task_index = executor_id
        self.num_workers = num_workers
        self.cluster_spec: Dict[str, List[str]] = {}
        self.defaultFS = default_fs
        self.working_dir = os.getcwd()
        self.user = getpass.getuser()

    def absolute_path(self, path: str) -> str:
        return _paths.hdfs_path(self, path)


def run(
    sc: "SparkContext", map_fn: Callable[[Any, Context], Any], tf_args: Any, num_executors: int, use_barrier: bool = True
) -> List[Any]:
    """Call map_fn(tf_args, ctx) in num_executors Spark tasks, and return what the calls returned, in the tasks' order.

    With use_barrier all of them start together, or none: a RuntimeError says so at once if Spark has place for fewer. Without, those
    that find no place wait for it. A call that raises fails the others too, and run, with its own traceback. tf_args.num_gpus, or
    tf_args["num_gpus"], is how many GPUs each call sees; by default one, if the machine has any.
    """
    if num_executors < 1:
        raise ValueError(f"num_executors is {num_executors}: want 1 or more")
    if use_barrier:
        _slots.require(sc, num_executors)
    default_fs = sc._jsc.hadoopConfiguration().get("fs.defaultFS")
    work = _Work(map_fn, tf_args, num_executors, default_fs, use_barrier)
    tasks = sc.parallelize(range(num_executors), num_executors)
    if use_barrier:
        return tasks.barrier().mapPartitions(work).collect()
    return tasks.mapPartitions(work).collect()


class _Work:
    def __init__(self, map_fn, tf_args, num_executors, default_fs, use_barrier):
        self._map_fn, self._tf_args, self._default_fs = map_fn, tf_args, default_fs
        self._num_executors, self._use_barrier = num_executors, use_barrier

    def __call__(self, numbers):
        for i in numbers:
            machines = []
            if self._use_barrier:
                from pyspark import BarrierTaskContext

                machines = [t.address.rpartition(":")[0] or t.address for t in BarrierTaskContext.get().getTaskInfos()]
            util.single_node_env(_num_gpus(self._tf_args), i, machines)
            yield self._map_fn(self._tf_args, Context(i, self._num_executors, self._default_fs))


def _num_gpus(tf_args):
    if isinstance(tf_args, dict):
        return int(tf_args.get("num_gpus", 1))
    return int(getattr(tf_args, "num_gpus", 1))
