"""Airflow's provider of tfos: TfosOperator runs a job, once for each run of its task, however often Airflow tries.

    from tfos_airflow import TfosOperator

    train = TfosOperator(task_id="train", job="/srv/models/digits/job.yaml", resume=True)
"""

from typing import Any, Dict


def __getattr__(name: str) -> Any:  # so that `airflow providers list` loads no operator
    if name in ("TfosOperator", "TfosLink"):
        from tfos_airflow import operator

        return getattr(operator, name)
    if name == "TfosTrigger":
        from tfos_airflow.trigger import TfosTrigger

        return TfosTrigger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def provider_info() -> Dict[str, Any]:
    """What Airflow asks of the entry point apache_airflow_provider."""
    return {
        "package-name": "tfos-airflow",
        "name": "tfos",
        "description": "TensorFlow on YARN, by tfos",
        "versions": ["0.1.0"],
        "extra-links": ["tfos_airflow.operator.TfosLink"],
    }
