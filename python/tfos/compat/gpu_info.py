"""Which of this machine's GPUs are free, as nvidia-smi says."""

import random
import shutil
import subprocess
from time import sleep
from typing import List, Optional, Union

__all__ = ["AS_LIST", "AS_STRING", "MAX_RETRIES", "get_gpus", "is_gpu_available"]

MAX_RETRIES = 3
AS_STRING = "string"
AS_LIST = "list"

_PAUSE = 5.0  # seconds between two looks: a process that ends gives its GPU back
_TIMEOUT = 60  # seconds for nvidia-smi, which is slow where no driver daemon runs


def is_gpu_available() -> bool:
    """Whether this machine has a GPU that its driver knows."""
    try:
        return bool(_ask("--query-gpu=uuid"))
    except (OSError, subprocess.SubprocessError):
        return False


def get_gpus(num_gpu: int = 1, worker_index: int = -1, format: str = AS_STRING) -> Union[str, List[str]]:  # noqa: A002
    """The numbers of that many GPUs on which no process computes: joined by commas, or a list.

    Workers of one machine that ask at the same time say which of them they are, from 0, and get different ones; -1: any. Looks
    MAX_RETRIES times, and then raises RuntimeError.
    """
    for attempt in range(MAX_RETRIES):
        if attempt:
            sleep(_PAUSE * random.uniform(0.5, 1.5))
        free, busy = _look()
        chosen = _choose(free, num_gpu, worker_index)
        if chosen:
            return chosen if format == AS_LIST else ",".join(chosen)
    raise RuntimeError(
        f"this machine has {len(free)} free GPUs of {len(free) + len(busy)}, and worker {max(worker_index, 0)} of it wants {num_gpu} "
        "beside those of the workers before it: ask for fewer, or let fewer workers run on one machine"
    )


def from_spark() -> Optional[List[str]]:
    """The GPUs that Spark gave the task that this is; None: this is none, or Spark gave it none."""
    try:
        from pyspark import TaskContext
    except ImportError:
        return None
    context = TaskContext.get()
    gpus = context.resources().get("gpu") if context else None
    return [str(a) for a in gpus.addresses] if gpus else None


def _choose(free, count, worker_index):
    """Which of the free ones, in order, the worker of that number takes if each takes count; None: there are too few."""
    if worker_index < 0:
        free = random.sample(free, len(free))
        worker_index = 0
    first = worker_index * count
    chosen = free[first : first + count]
    return chosen if len(chosen) == count else None


def _look():
    """The numbers of the GPUs that are free, and of those that are busy."""
    in_use = set(_ask("--query-compute-apps=gpu_uuid"))
    free, busy = [], []
    for line in _ask("--query-gpu=index,uuid"):
        index, uuid = (part.strip() for part in line.split(","))
        (busy if uuid in in_use else free).append(index)
    return free, busy


def _ask(query):
    program = shutil.which("nvidia-smi")
    if program is None:
        raise FileNotFoundError("nvidia-smi is not on the PATH: this machine has no NVIDIA driver")
    done = subprocess.run([program, query, "--format=csv,noheader"], stdout=subprocess.PIPE, check=True, timeout=_TIMEOUT, universal_newlines=True)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
