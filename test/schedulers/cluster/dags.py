"""What test/e2e/airflow_schedulers_test.go has a real Airflow run, each once as soon as the scheduler is up."""

from airflow import DAG
from airflow.triggers.base import BaseTrigger
from datetime import datetime, timedelta

from tfos_airflow import TfosOperator


def job(name, command):
    return {
        "name": name,
        "command": command,
        "recovery": {"user-failures": 0},
        "roles": {"worker": {"instances": 1, "memory": "256MiB"}},
    }


def dag(name, command, **more):
    with DAG(name, schedule="@once", start_date=datetime(2026, 11, 30), catchup=False) as d:
        TfosOperator(task_id="train", job=job(name, command), retry_delay=timedelta(0), **more)
    return d


good = dag("good", "echo the work")
bad = dag("bad", "exit 7", retries=1)
refused = dag("refused", "true", define={"queue": "nobodys"}, retries=3)
# A try whose worker dies is followed by the next one at once.
retried = dag("retried", "echo the work; sleep 40", retries=3, resume=True)
ended = dag("ended", "echo the work; sleep 1000")
if hasattr(BaseTrigger, "on_kill"):
    deferred = dag("deferred", "echo the work; sleep 10", deferrable=True, poll_interval=1)
    deferred_ended = dag("deferred_ended", "echo the work; sleep 1000", deferrable=True, poll_interval=1)
    deferred_late = dag(
        "deferred_late", "sleep 1000", deferrable=True, poll_interval=1, execution_timeout=timedelta(seconds=30)
    )
