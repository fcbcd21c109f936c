"""Small things that programs of TensorFlowOnSpark ask of the machine they run on."""

import os
import socket
from typing import Optional, Sequence

from tfos.compat import gpu_info

__all__ = ["find_in_path", "get_ip_address", "read_executor_id", "single_node_env", "write_executor_id"]

_EXECUTOR_ID = "executor_id"


def get_ip_address() -> str:
    """The address by which other machines reach this one, as its routes say; 127.0.0.1 if it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("8.8.8.8", 1))  # sends nothing: it only chooses a route
            return str(s.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def find_in_path(path: str, file: str) -> Optional[str]:
    """The first file of this name in the directories of path, separated as in PATH; None: there is none."""
    for directory in path.split(os.pathsep):
        name = os.path.join(directory, file)
        if os.path.isfile(name):
            return name
    return None


def single_node_env(num_gpus: Optional[int] = 0, worker_index: int = -1, nodes: Sequence[str] = ()) -> None:
    """Let TensorFlow in this process see that many GPUs that nobody uses, and no other; None: one, if there is any.

    nodes are the addresses of all workers, of which this one is number worker_index: those on one machine take different GPUs.
    A Spark that has given this task GPUs has chosen already. Raises RuntimeError if so many are not to be had.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_gpus(num_gpus, worker_index, nodes))


def _gpus(num_gpus, worker_index, nodes):
    if num_gpus is not None and num_gpus <= 0:
        return []
    count = 1 if num_gpus is None else num_gpus
    given = gpu_info.from_spark()
    if given is None and "SPARK_EXECUTOR_POD_IP" in os.environ:
        given = []  # on Kubernetes a pod sees the GPUs of the whole machine, and may use its own
    if given is not None:
        if num_gpus is not None and len(given) < count:
            raise RuntimeError(f"num_gpus is {count}, and Spark has given this task {len(given)}: set spark.task.resource.gpu.amount")
        return given[:count]
    if not gpu_info.is_gpu_available():
        if num_gpus is not None:
            raise RuntimeError(f"num_gpus is {count}, and this machine has no GPU that nvidia-smi knows: ask for none, or run where there are some")
        return []
    if nodes and 0 <= worker_index < len(nodes):
        worker_index = list(nodes[:worker_index]).count(nodes[worker_index])
    return gpu_info.get_gpus(count, worker_index, format=gpu_info.AS_LIST)


def write_executor_id(num: int) -> None:
    """Leave this executor's number in its working directory, for the Spark tasks that come after."""
    with open(_EXECUTOR_ID, "w", encoding="ascii") as f:
        f.write(str(num))


def read_executor_id() -> int:
    """The number that write_executor_id left here. Raises FileNotFoundError with what that means if there is none."""
    try:
        with open(_EXECUTOR_ID, encoding="ascii") as f:
            return int(f.read())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no node was started in {os.getcwd()}: this task runs on an executor that is not of the cluster; "
            "let Spark run one task on each executor, with spark.task.cpus = spark.executor.cores"
        ) from None
