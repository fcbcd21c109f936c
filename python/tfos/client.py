"""Jobs from outside: submit them, follow them, end them, from a notebook, a scheduler or a script.

    from tfos.client import Client

    job = Client().submit("job.yaml")   # or the job file's content, as a dict
    print(job.status().state)
    job.wait(log=print)                 # raises JobFailed, and others by how the job ended

The command tfos does the work: `pip install tfos` brings it along, else it is found by TFOS, TFOS_HOME or the PATH. What fails raises
a JobError, with the command's exit code and words. In a notebook a job shows itself, in a table that follows it to its end.
"""

import collections
import collections.abc
import datetime
import html
import json
import os
import re
import subprocess
import threading
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, Union

from tfos._session import JobError, Session, find_tfos

__all__ = [
    "Checkpoint",
    "Client",
    "ClusterRefused",
    "InfrastructureFailed",
    "Interrupted",
    "Job",
    "JobError",
    "JobFailed",
    "JobKilled",
    "JobTimedOut",
    "Restart",
    "Status",
    "Summary",
    "Task",
    "WrongUsage",
]

Time = Optional[datetime.datetime]


class JobFailed(JobError):
    """The program ended with an error. Exit code 1."""


class WrongUsage(JobError):
    """Wrong usage or job file, a missing local file included. Exit code 2."""


class ClusterRefused(JobError):
    """The cluster refused the job, or can never fit it. Exit code 3."""


class InfrastructureFailed(JobError):
    """Infrastructure failed, after all retries. Exit code 4."""


class JobKilled(JobError):
    """The job was killed. Exit code 5."""


class JobTimedOut(JobError):
    """The job took longer than its timeout and was stopped. Exit code 6."""


class Interrupted(JobError):
    """The command was interrupted; the job goes on. Exit code 130."""


_ERRORS: Dict[int, Type[JobError]] = {
    1: JobFailed,
    2: WrongUsage,
    3: ClusterRefused,
    4: InfrastructureFailed,
    5: JobKilled,
    6: JobTimedOut,
    130: Interrupted,
}


def _error(code: int, text: str) -> JobError:
    """The exception for an exit code; a signal that ended the command is infrastructure."""
    return _ERRORS.get(code, InfrastructureFailed)(text, code if code in _ERRORS else 4)


class Task(NamedTuple):
    """One task of a job. docs/status-json.md says what each value means; `raw` has all that there are."""

    role: str
    index: int  # type: ignore[assignment]
    incarnation: int
    state: str  # pending, starting, running, succeeded, failed, stopped
    node: str
    container: str
    address: str
    step: int
    steps: int
    steps_per_second: float
    loss: Optional[float]
    memory_bytes: int
    cpu: float
    log_url: str
    started: Time
    finished: Time
    exit_code: Optional[int]
    cause: str
    why: str
    raw: Dict[str, Any]

    @property
    def name(self) -> str:
        """The task as the command names it: worker/1."""
        return f"{self.role}/{self.index}"


class Restart(NamedTuple):
    """One loss of a task that was made good."""

    task: str
    cause: str
    why: str
    at: Time
    seconds: float
    new_container: bool
    step: int
    resumed_step: Optional[int]
    lost_steps: int
    raw: Dict[str, Any]


class Checkpoint(NamedTuple):
    """One checkpoint of a job."""

    path: str
    format: str
    step: int  # -1: not known
    bytes: int
    time: Time
    verdict: str
    by: str
    raw: Dict[str, Any]

    @property
    def whole(self) -> bool:
        """It was read in full, and every checksum holds."""
        return self.verdict == "whole"


class Summary(NamedTuple):
    """One job in a list."""

    id: str
    name: str
    user: str
    queue: str
    state: str
    progress: float
    started: Time
    finished: Time
    tracking_url: str
    raw: Dict[str, Any]


class Status(NamedTuple):
    """A job at one moment. docs/status-json.md says what each value means; `raw` has all that there are."""

    id: str
    name: str
    queue: str
    user: str
    state: str  # pending, starting, running, succeeded, failed, stopped
    generation: int
    started: Time
    finished: Time
    exit_code: Optional[int]  # None: it has not ended
    diagnostics: str
    problems: List[str]
    tracking_url: str
    progress: float
    attempt: int
    resumed_from: str
    tasks: List[Task]
    restarts: List[Restart]
    checkpoints: List[Checkpoint]
    raw: Dict[str, Any]

    @property
    def ended(self) -> bool:
        """The job has ended, well or not."""
        return self.exit_code is not None

    def check(self) -> "Status":
        """This status, unless the job has ended otherwise than well: then its error."""
        if self.exit_code:
            raise _error(self.exit_code, f"{self.name} ({self.id}) {self.state}" + (f": {self.diagnostics}" if self.diagnostics else ""))
        return self

    def _repr_html_(self) -> str:
        return _page(self)


_TIMES = ("started", "finished", "at", "time")


def _time(text: Optional[str]) -> Time:
    """RFC 3339 in UTC, with any number of digits behind the second, to the microsecond."""
    if not text:
        return None
    m = re.match(r"(\d+-\d+-\d+T\d+:\d+:\d+)(?:\.(\d+))?(Z|[+-]\d+:\d+)$", text)
    if not m:
        raise ValueError(f"{text!r} is no time")
    zone = "+00:00" if m.group(3) == "Z" else m.group(3)
    return datetime.datetime.fromisoformat(f"{m.group(1)}.{(m.group(2) or '')[:6]:0<6}{zone}")


def _made(kind: Any, document: Dict[str, Any], **more: Any) -> Any:
    """A tuple of this kind from a document, which may have more keys than the tuple has."""
    values = {
        name: _time(document[name]) if name in _TIMES else document[name] for name in kind._fields if name != "raw" and name not in more
    }
    return kind(**values, **more, raw=document)


def _status(document: Dict[str, Any]) -> Status:
    status: Status = _made(
        Status,
        document,
        tasks=[_made(Task, t) for t in document["tasks"]],
        restarts=[_made(Restart, r) for r in document["restarts"]],
        checkpoints=[_made(Checkpoint, c) for c in document["checkpoints"]],
    )
    return status


class Client:
    """The way to a cluster.

    conf is the directory of its Hadoop configuration (default HADOOP_CONF_DIR, then YARN_CONF_DIR). master is "yarn", or "local": then each
    job has an embedded cluster on this machine, which ends with this process, or when the Job is closed. tfos is the command, if it is
    not to be found by itself; env is set for it besides this process's environment. A client has no connection and nothing to close,
    and threads may share it.
    """

    def __init__(self, conf: str = "", master: str = "yarn", tfos: str = "", env: Optional[Mapping[str, str]] = None) -> None:
        self._master = master
        self._command = [tfos or find_tfos(), "--master", master] + (["--conf", conf] if conf else [])
        self._env = dict(os.environ, **(env or {}))

    def submit(
        self,
        job: "Union[str, os.PathLike[str], Mapping[str, Any]]",
        *,
        once: str = "",
        date: str = "",
        env: Optional[Mapping[str, str]] = None,
        define: Optional[Mapping[str, Any]] = None,
        args: Sequence[str] = (),
    ) -> "Job":
        """Submit a job and return it once the cluster has accepted it.

        job is the name of a job file, or its content as a dict, whose relative paths start here. once is the key of its work: any number of
        calls submit one application (docs/job-file.md, "Every night"), and date is what {date} in it stands for. define sets any key of
        the job file, as {"recovery.window": "30m"}; env the environment of every task. args are further arguments of `tfos submit`.
        """
        line = _flags(once=once, date=date) + _pairs("--env", env) + _pairs("--define", define) + list(args)
        return self._start("submit", job, line)

    def resume(
        self, what: "Union[str, Job, os.PathLike[str]]", *, define: Optional[Mapping[str, Any]] = None, args: Sequence[str] = ()
    ) -> "Job":
        """Run a job again from its newest whole checkpoint, as a new application. what is one that has ended, or a job file."""
        name = what.id if isinstance(what, Job) else os.fspath(what)
        return self._start("resume", name, ["--detach"] + _pairs("--define", define) + list(args))

    def _start(self, verb: str, job: "Union[str, os.PathLike[str], Mapping[str, Any]]", line: List[str]) -> "Job":
        text = json.dumps(job) if isinstance(job, collections.abc.Mapping) else ""
        line = ["-" if text else os.fspath(job)] + line  # type: ignore[arg-type]
        if verb == "submit" and self._master == "local":
            session = Session(
                line[0], "local", "localhost", lambda _: None, self._command, line[1:], text, env=self._env, stderr=subprocess.DEVNULL
            )
            session.wait_submitted()
            error = session.error() if session.application is None else None
            if error:
                session.close()
                raise _error(error.code, str(error))
            return Job(self, str(session.application), session)
        return Job(self, self._call([verb] + line, text).split()[-1])

    def job(self, application: str) -> "Job":
        """A job that was submitted before, here or elsewhere. The cluster is not asked for it yet."""
        return Job(self, application)

    def list(self, everyone: bool = False) -> List[Summary]:
        """The jobs that the cluster remembers, the newest first: yours, or everyone's."""
        return [_made(Summary, d) for d in json.loads(self._call(["list", "--json"] + (["--all"] if everyone else [])))]

    def status(self, application: str) -> Status:
        """The job now: as its master sees it while it runs, and as it ended."""
        return _status(json.loads(self._call(["status", application, "--json"])))

    def watch(self, application: str) -> Iterator[Status]:
        """The job now and after each change, to its end."""
        for line in self._lines(["status", application, "--watch", "--json"]):
            yield _status(json.loads(line))

    def logs(self, application: str, task: str = "", *, follow: bool = False, grep: str = "", stream: str = "") -> Iterator[str]:
        """What the job's tasks wrote, line by line as `tfos logs` prints it: of all, or of one, as "worker/1".

        With follow it goes on until the job ends, of all tasks at once, each line behind its task's name. grep is a regular expression;
        stream is stdout, stderr or agent.log. Leave the loop, and the reading ends.
        """
        return self._lines(
            ["logs", application] + ([task] if task else []) + (["--follow"] if follow else []) + _flags(grep=grep, stream=stream)
        )

    def wait(
        self,
        application: str,
        timeout: Optional[float] = None,
        log: Optional[Callable[[str], Any]] = None,
        note: Optional[Callable[[str], Any]] = None,
    ) -> Status:
        """Follow a job to its end and return how it ended, or raise the JobError that says why it did not end well.

        log gets each line that the job's leader prints, from the beginning, note each line of what happens to the job. After timeout
        seconds a TimeoutError is raised, and the job goes on. Restarts of the ResourceManager and of the job's master are waited out.
        """
        with _Process(self, ["attach", application], note) as p:
            p.within(timeout, lambda: _each(p.out, log), f"{application} has not ended within {timeout} seconds")
            p.check()
        return self.status(application)

    def kill(self, application: str) -> None:
        """End a job in order, and return when it has ended. One that has ended already is left as it is."""
        self._call(["kill", application])

    def scale(self, application: str, role: str, instances: int, restart_coordinator: bool = False) -> None:
        """Give a role of a running job another number of tasks: `tfos scale --help` says what the others notice."""
        self._call(["scale", application, f"{role}={instances}"] + (["--restart-coordinator"] if restart_coordinator else []))

    def checkpoints(self, application: str) -> List[Checkpoint]:
        """The newest 200 checkpoints of a job, the oldest first."""
        return self.status(application).checkpoints

    def _call(self, line: List[str], text: str = "") -> str:
        """Run the command to its end; the answer is what it printed."""
        done = subprocess.run(
            self._command + line,
            input=text,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        if done.returncode:
            raise _error(done.returncode, _words(done.stderr.splitlines()))
        return done.stdout

    def _lines(self, line: List[str]) -> Iterator[str]:
        with _Process(self, line) as p:
            for text in p.out:
                yield text.rstrip("\n")
            p.check()


def _flags(**values: str) -> List[str]:
    return [f"--{name}={value}" for name, value in values.items() if value]


def _pairs(flag: str, values: Optional[Mapping[str, Any]]) -> List[str]:
    return [f"{flag}={name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in (values or {}).items()]


def _words(lines: Sequence[str]) -> str:
    """The error that a command ended with: what follows its name for the last time."""
    for i in range(len(lines) - 1, -1, -1):
        if lines[i].startswith("tfos: "):
            return "\n".join(lines[i:])[len("tfos: ") :]
    return "\n".join(lines)


def _each(lines: Iterable[str], tell: Optional[Callable[[str], Any]]) -> None:
    for line in lines:
        if tell:
            tell(line.rstrip("\n"))


class _Process:
    """A command that runs: out is what it prints, line by line. Leaving it ends it, if it has not ended by itself."""

    def __init__(self, client: Client, line: List[str], note: Optional[Callable[[str], Any]] = None) -> None:
        self._process = subprocess.Popen(
            client._command + line,
            env=client._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is this process's: it ends the following, not the job
        )
        assert self._process.stdout and self._process.stderr
        self.out: Iterator[str] = self._process.stdout
        self._last: Deque[str] = collections.deque(maxlen=1000)
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr, note), name="tfos stderr", daemon=True)
        self._reader.start()

    def _read(self, lines: Iterable[str], note: Optional[Callable[[str], Any]]) -> None:
        for line in lines:
            self._last.append(line.rstrip("\n"))
            if note:
                note(self._last[-1])

    def within(self, timeout: Optional[float], do: Callable[[], None], otherwise: str) -> None:
        """Do what reads the command's output, and end the command after timeout seconds: then a TimeoutError says otherwise."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.terminate()

        timer = threading.Timer(timeout, end) if timeout is not None else None
        if timer:
            timer.start()
        try:
            do()
            self._process.wait()
        finally:
            if timer:
                timer.cancel()
        if late.is_set():
            raise TimeoutError(otherwise)

    def check(self) -> None:
        """Wait for the command's end, and raise the error that it ended with."""
        code = self._process.wait()
        self._reader.join()
        if code:
            raise _error(code, _words(list(self._last)))

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join()

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for pipe in (self._process.stdout, self._process.stderr):
            pipe.close()  # type: ignore[union-attr]


class Job:
    """One job: what Client does with its application id, under the same names."""

    def __init__(self, client: Client, application: str, session: Optional[Session] = None) -> None:
        self.client = client
        self.id = application
        self._session = session  # its embedded cluster, which would end with it

    def status(self) -> Status:
        """The job now, and how it ended."""
        return self.client.status(self.id)

    def watch(self) -> Iterator[Status]:
        """The job now and after each change, to its end."""
        return self.client.watch(self.id)

    def logs(self, task: str = "", *, follow: bool = False, grep: str = "", stream: str = "") -> Iterator[str]:
        """What its tasks wrote, line by line: see Client.logs."""
        return self.client.logs(self.id, task, follow=follow, grep=grep, stream=stream)

    def wait(
        self, timeout: Optional[float] = None, log: Optional[Callable[[str], Any]] = None, note: Optional[Callable[[str], Any]] = None
    ) -> Status:
        """Follow it to its end, and raise the JobError that says why it did not end well: see Client.wait."""
        return self.client.wait(self.id, timeout, log, note)

    def kill(self) -> None:
        """End it in order, and return when it has ended."""
        self.client.kill(self.id)

    def close(self) -> None:
        """End the embedded cluster of a local job, and the job if it has not ended. Nothing is known of it then. Others go on."""
        if self._session:
            self._session.close()

    def resume(self, *, define: Optional[Mapping[str, Any]] = None, args: Sequence[str] = ()) -> "Job":
        """Run it again from its newest whole checkpoint, once it has ended: a new job."""
        return self.client.resume(self, define=define, args=args)

    def scale(self, role: str, instances: int, restart_coordinator: bool = False) -> None:
        """Give a role another number of tasks."""
        self.client.scale(self.id, role, instances, restart_coordinator)

    def checkpoints(self) -> List[Checkpoint]:
        """The newest 200, the oldest first."""
        return self.status().checkpoints

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()

    def _ipython_display_(self) -> None:
        """Show the job in a notebook, and have what is shown follow it to its end."""
        from IPython.display import HTML, display  # type: ignore[import-not-found]

        first = self.status()
        shown = display(HTML(first._repr_html_()), display_id=True)
        if shown and not first.ended:
            threading.Thread(target=self._keep, args=(shown, HTML), name=f"show {self.id}", daemon=True).start()

    def _keep(self, shown: Any, made: Callable[[str], Any]) -> None:
        try:
            for view in self.watch():
                shown.update(made(view._repr_html_()))
        except JobError as e:
            shown.update(made(f"<pre>{html.escape(self.id)}: {html.escape(str(e))}</pre>"))


_COLOURS = {"running": "#1a7f37", "succeeded": "#1a7f37", "failed": "#cf222e", "stopped": "#9a6700"}


def _page(s: Status) -> str:
    """A job as a table. Whatever a job's programs can choose is escaped."""

    def cell(text: Any, style: str = "text-align:left") -> str:
        return f'<td style="{style}">{html.escape(str(text))}</td>'

    def state(text: str) -> str:
        return cell(text, f"text-align:left;color:{_COLOURS.get(text, 'inherit')}")

    rows = []
    for t in s.tasks:
        step = (f"{t.step} / {t.steps}" if t.steps else str(t.step)) if t.step else ""
        rate = f"{t.steps_per_second:.3g}" if t.steps_per_second else ""
        memory = f"{t.memory_bytes / 2**20:.0f} MiB" if t.memory_bytes else ""
        loss = "" if t.loss is None else f"{t.loss:.4g}"
        cells = [
            cell(t.name),
            state(t.state),
            cell(t.node),
            cell(t.incarnation),
            cell(step),
            cell(rate),
            cell(loss),
            cell(memory),
            cell(t.why or t.cause),
        ]
        rows.append("<tr>" + "".join(cells) + "</tr>")
    name = html.escape(f"{s.name} ({s.id})")
    if s.tracking_url.startswith(("http://", "https://")):
        name = f'<a href="{html.escape(s.tracking_url)}" target="_blank" rel="noopener">{name}</a>'
    facts = [s.state] + ([f"exit code {s.exit_code}"] if s.ended else []) + ([f"{len(s.restarts)} restarts"] if s.restarts else [])
    lines = "".join(f"<div>{html.escape(text)}</div>" for text in [s.diagnostics] + s.problems if text)
    heads = "".join(
        f'<th style="text-align:left">{h}</th>'
        for h in ("task", "state", "node", "incarnation", "step", "steps/s", "loss", "memory", "last loss")
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>" if rows else ""
    return f'<div><b>{name}</b> <span style="color:{_COLOURS.get(s.state, "inherit")}">{html.escape(", ".join(facts))}</span>{lines}{table}</div>'
