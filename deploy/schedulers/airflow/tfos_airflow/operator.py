"""The operator that runs a job, and the link to the job's page."""

import time
from typing import Any, Dict, Mapping, Optional, Sequence, Union

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.triggers.base import BaseTrigger
from tfos.client import Client, ClusterRefused, Job, JobError, JobKilled, JobTimedOut, Status, WrongUsage
from tfos_airflow.trigger import TfosTrigger

try:  # Airflow 3
    from airflow.sdk import BaseOperator, BaseOperatorLink
    from airflow.sdk.execution_time.xcom import XCom
except ImportError:
    from airflow.models import BaseOperator, XCom
    from airflow.models.baseoperatorlink import BaseOperatorLink

# What no further try can mend, and what somebody wanted: as `tfos run --retries` does not run again either.
FINAL = (WrongUsage, ClusterRefused, JobKilled, JobTimedOut)


class TfosLink(BaseOperatorLink):
    """The job's page while it runs, and where the cluster leads to after its end."""

    name = "tfos job"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return XCom.get_value(ti_key=ti_key, key="tracking_url") or ""


class TfosOperator(BaseOperator):
    """Runs a job of tfos, shows its leader's log in the task's log, and ends as the job does.

    job is the name of a job file on the worker, or its content as a dict. once is the key of the work: while an application does it,
    every try follows that one, so a task that lost its worker takes its job up again; the default is one for each run of the task. date
    is what {date} and {hour} in the key stand for: by default the run's logical date. With resume the job begins at its newest whole
    checkpoint. env and define are as in tfos.client. conf, master and tfos say where the cluster and the command are.

    A try that ends with exit code 1 or 4 may be tried again. Others end the task: wrong usage, a job that the cluster refuses, one that
    somebody killed, and one that ran into its timeout.

    The returned value has application_id, name, state, exit_code, tracking_url, and checkpoint: the newest whole one's path. While the
    job runs XCom has application_id and tracking_url. deferrable frees the worker meanwhile; that wants an Airflow that can end a
    deferred task's job (3.3).
    """

    template_fields = ("job", "once", "date", "env_vars", "define", "conf")
    template_fields_renderers = {"define": "json", "env_vars": "json"}
    operator_extra_links = (TfosLink(),)
    ui_color = "#fff3e0"

    def __init__(
        self,
        *,
        job: Union[str, Mapping[str, Any]],
        once: str = "airflow-{{ dag.dag_id }}-{{ task.task_id }}-{{ run_id }}",
        date: str = "",
        resume: bool = False,
        env: Optional[Mapping[str, str]] = None,
        define: Optional[Mapping[str, Any]] = None,
        conf: str = "",
        master: str = "yarn",
        tfos: str = "",
        deferrable: bool = False,
        poll_interval: float = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if deferrable and not hasattr(BaseTrigger, "on_kill"):
            raise AirflowException("deferrable: this Airflow cannot end the job of a task that is deferred (3.3 is the first that can): leave it out")
        if resume and master == "local":
            raise AirflowException("resume: a job of master local has nothing to go on from: leave it out")
        if deferrable and master == "local":
            raise AirflowException("deferrable: a job of master local ends with the worker's process: leave it out")
        self.job = job
        self.once = once
        self.date = date
        self.resume = resume
        self.env_vars = env
        self.define = define
        self.conf = conf
        self.master = master
        self.tfos = tfos
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self._submitted: Optional[Job] = None
        self._submitting: Optional[Dict[str, Any]] = None

    def execute(self, context: Any) -> Dict[str, Any]:
        date = self.date or _logical(context)
        self._submitting = {
            "once": "" if self.master == "local" else _key(self.once, context),
            "date": date,
            "env": self.env_vars,
            "define": self.define,
            "args": ["--resume"] if self.resume else [],
        }
        try:
            self._submitted = self._client().submit(self.job, **self._submitting)
        except JobError as e:
            raise _told(e) from e
        ti = context["ti"]
        self.log.info("%s", self._submitted.id)
        url = self._submitted.status().tracking_url
        ti.xcom_push(key="application_id", value=self._submitted.id)
        ti.xcom_push(key="tracking_url", value=url)
        ti.xcom_push(key="_link_TfosLink", value=url)  # where Airflow 3 looks, which asks the operator only at the end
        if self.deferrable and not self._submitted.status().ended:
            deadline = time.time() + self.execution_timeout.total_seconds() if self.execution_timeout else 0.0
            trigger = TfosTrigger(self._submitted.id, self.conf, self.tfos, self.poll_interval, deadline)
            self.defer(trigger=trigger, method_name="execute_complete")
        return self._follow()

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> Dict[str, Any]:
        """Goes on after the trigger has fired: the log from its beginning, and the result."""
        self._submitted = self._client().job(event["application"])
        if event["late"]:
            self._submitted.kill()
            raise AirflowException(f"{self._submitted.id} ran into the task's execution_timeout, {self.execution_timeout}, and was ended")
        return self._follow()

    def _follow(self) -> Dict[str, Any]:
        assert self._submitted
        try:
            return _result(self._submitted.wait(log=self.log.info, note=self.log.info))
        except JobError as e:
            raise _told(e) from e
        finally:
            self._submitted.close()

    def on_kill(self) -> None:
        """Ends the job. A task that is ended while it submits may have submitted already: only the key tells the application."""
        if self._submitted is None and self._submitting and self._submitting["once"]:
            self._submitted = self._client().submit(self.job, **self._submitting)
        if self._submitted is not None:
            self.log.info("ending %s", self._submitted.id)
            self._submitted.kill()

    def _client(self) -> Client:
        return Client(conf=self.conf, master=self.master, tfos=self.tfos)


def _key(once: str, context: Any) -> str:
    """The key of a task, of a mapped one its own."""
    index = getattr(context["ti"], "map_index", -1)
    return once if not once or index < 0 else f"{once}-{index}"


def _logical(context: Any) -> str:
    """When the run is meant, if it is meant for a time: a run by hand has none in Airflow 3."""
    date = context.get("logical_date")
    return date.strftime("%Y-%m-%dT%H:%M") if date else ""


def _told(e: JobError) -> AirflowException:
    """The job's error, as one that Airflow tries again or not."""
    kind = AirflowFailException if isinstance(e, FINAL) else AirflowException
    return kind(f"exit code {e.code}: {e}")


def _result(s: Status) -> Dict[str, Any]:
    whole = [c.path for c in s.checkpoints if c.whole]
    return {
        "application_id": s.id,
        "name": s.name,
        "state": s.state,
        "exit_code": s.exit_code,
        "tracking_url": s.tracking_url,
        "checkpoint": whole[-1] if whole else None,
    }
