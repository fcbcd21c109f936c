"""One function in many Spark tasks at the same time, each with a TensorFlow of its own: no cluster, nothing that they share."""

import os
from typing import TYPE_CHECKING, Any, Callable, List

from tfos.compat import _slots, util
from tfos.compat.TFNode import Context

if TYPE_CHECKING:
    from pyspark import SparkContext

__all__ = ["Context", "run"]


def run(
    sc: "SparkContext", map_fn: Callable[[Any, Context], Any], tf_args: Any, num_executors: int, use_barrier: bool = True
) -> List[Any]:
    """Call map_fn(tf_args, ctx) in num_executors Spark tasks, and return what the calls returned, in the tasks' order.

    ctx is a node's, for a node that has no peers and no feed.
    With use_barrier all of them start together, or none: a RuntimeError says so at once if Spark has place for fewer. Without, those
    that find no place wait for it. A call that raises fails the others too, and run, with its own traceback. tf_args.num_gpus, or
    tf_args["num_gpus"], is how many GPUs each call sees, and an error if there are not so many; by default one, if there is any.
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
            alone = Context(i, "worker", i, {}, self._default_fs, os.getcwd(), mgr=None, num_workers=self._num_executors)
            yield self._map_fn(self._tf_args, alone)


def _num_gpus(tf_args):
    """How many GPUs the program asks for; None: it says nothing of them."""
    found = tf_args.get("num_gpus") if isinstance(tf_args, dict) else getattr(tf_args, "num_gpus", None)
    return None if found is None else int(found)
