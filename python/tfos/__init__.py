"""What a program that tfos runs may ask of its task's agent.

    import tfos

    print(tfos.task().role)
    tfos.step(120, of=1000)

A program needs none of this: TF_CONFIG and the other variables say who it is, and the agent reads steps from what it prints.
"""

import math
from typing import NamedTuple, Optional

from tfos import _agent
from tfos._agent import Error, NotInTask, Refused, Unavailable

from tfos.cluster import Cluster, cluster
from tfos.notice import Notice, notice, termination_watcher

__all__ = ["Cluster", "Error", "NotInTask", "Notice", "Refused", "Task", "Unavailable", "cluster", "notice", "step", "task", "termination_watcher"]


class Task(NamedTuple):
    """Who this program is, and how far it is. A later tfos may tell more."""

    task: str  # "worker/1"
    role: str
    index: int  # type: ignore[assignment]
    incarnation: int  # grows with each start of the task's process
    generation: int  # of the newest cluster_spec that the agent knows
    container: str
    address: str  # host:port that the task has in the cluster_spec
    step: int  # the last one known
    steps: int  # how many there are to be; 0: not known


def task() -> Task:
    """Who this program is. Raises NotInTask outside of a task, and Unavailable when its agent is gone."""
    answer = _agent.call("GET", "/v1/task")
    return Task(**{name: answer[name] for name in Task._fields})


def step(n: int, of: int = 0, loss: Optional[float] = None) -> None:
    """Report the step that training is at, and of how many, if that is known, and the loss there, which the job's page shows.

    From the first report on, what the program prints is no longer searched for steps. A report costs about a millisecond, and
    more than one a second tells nobody more. Raises NotInTask outside of a task, and Unavailable when its agent is gone.
    """
    report = {"step": int(n), "steps": int(of)}
    if loss is not None and math.isfinite(loss):  # JSON has no other numbers
        report["loss"] = float(loss)
    _agent.call("POST", "/v1/step", report)
