"""What test_airflow.py has Airflow run: jobs on this machine, and a deferred one of a tfos that is faked."""

import os
from datetime import datetime

from airflow import DAG
from airflow.triggers.base import BaseTrigger
from tfos_airflow import TfosOperator


def dag(name, command, **more):
    with DAG(name, schedule=None, start_date=datetime(2026, 11, 30)) as d:
        job = {"name": name, "command": command, "recovery": {"user-failures": 0}, "roles": {"worker": {"instances": 1, "memory": "256MiB"}}}
        TfosOperator(task_id="train", job=job, **more)
    return d


good = dag("good", "echo the work", master="local")
bad = dag("bad", "exit 7", master="local")
stays = dag("stays", "echo the work of stays; sleep 1000", master="local")
if hasattr(BaseTrigger, "on_kill"):
    deferred = dag("deferred", "true", tfos=os.environ.get("FAKE_TFOS", ""), deferrable=True, poll_interval=0.1)
