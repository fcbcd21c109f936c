"""The cluster_spec as it is now. It changes while a job trains, when `tfos scale` gives it another size."""

from typing import Dict, List, NamedTuple

from tfos import _agent


class Cluster(NamedTuple):
    """One generation of the cluster_spec. A later tfos may tell more."""

    generation: int  # grows with each change; 0: there is none yet
    cluster: Dict[str, List[str]]  # by role, host:port by index; the evaluator is not in it


def cluster(after: int = -1, timeout: float = 20) -> Cluster:
    """The newest cluster_spec that the task's agent knows.

    With after, the generation that the program has seen last, it waits until there is a newer one, or for timeout seconds, and
    answers with what there is then:

        seen = tfos.cluster()
        while training:
            now = tfos.cluster(after=seen.generation)
            if now.generation > seen.generation:
                ...

    Raises NotInTask outside of a task, and Unavailable when its agent is gone.
    """
    path = "/v1/cluster"
    if after >= 0:
        path += f"?after={int(after)}&wait={max(0, int(timeout * 1000))}"
    answer = _agent.call("GET", path, timeout=timeout + _agent.TIMEOUT)
    return Cluster(answer["generation"], answer["cluster"])
