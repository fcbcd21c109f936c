"""A job that lives as long as this process: `tfos session` runs it, and says what happens."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time

from tfos import _slot, _wire


_ANSWER = 60  # seconds that `tfos session` may take to answer


class JobError(RuntimeError):
    """The job failed, or could not run. code is that of `tfos run`."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def find_tfos():
    """The command: what TFOS names, in TFOS_HOME, installed with these modules, on the PATH, or in a checkout that they lie in."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    home = os.environ.get("TFOS_HOME", "")
    names = [os.path.join(home, "tfos"), os.path.join(home, "bin", "tfos")] if home else []
    names = [os.environ.get("TFOS", "")] + names + _installed(here) + [shutil.which("tfos") or ""]
    for name in names + [os.path.join(os.path.dirname(here), "bin", "tfos")]:
        if name and os.access(name, os.X_OK):
            return name
    raise JobError("the command tfos is not found: put it on the PATH, or set TFOS_HOME to the directory where it, tfos-am and tfos-agent are", 2)


def _installed(here):
    """Where pip puts the command with modules that are in the directory here: a notebook's kernel has no PATH to it."""
    names = [os.path.join(here, "bin", "tfos")]  # pip install --target
    for scheme in (sysconfig.get_default_scheme() if hasattr(sysconfig, "get_default_scheme") else "posix_prefix", "posix_user"):
        paths = sysconfig.get_paths(scheme)
        if os.path.realpath(here) in (os.path.realpath(paths["purelib"]), os.path.realpath(paths["platlib"])):
            names.append(os.path.join(paths["scripts"], "tfos"))
    return names


class Session:
    """Starts a job from the file at path; of "-" the file's content is text, one line. master is "yarn", "local", or
    "executors": then wait_slots tells who wants slots.

    command is how tfos is called, up to what says what to do; args are further arguments; process is for subprocess.Popen.
    """

    def __init__(self, path, master, host, note=None, command=None, args=(), text="", **process):
        self._note = note or (lambda line: print("tfos:", line, file=sys.stderr, flush=True))
        self._changed = threading.Condition()
        # All guarded by _changed.
        self.application = None
        self.tasks = None  # of the nodes, once all run
        self.tensorboard = None  # URL of the one that a node runs
        self.failed = None  # the words of the node that failed
        self.ended = None  # (code, text)
        self.terminated = False  # no node wants more rows
        self._gone = False  # nothing more will be said: tfos itself outlives the job, for feeders that come late
        self._feeder = None
        self._synced = 0  # of the pings that were answered
        self._asking = threading.Lock()  # one question at a time: answers have no names
        self._slots = None
        self._losses = {}  # by slot: how many times it was lost
        self._process = subprocess.Popen(
            [*(command or [find_tfos(), "--master", master]), "session", path, "--host", host, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is this process's, which ends the job
            text=True,
            encoding="utf-8",
            **process,
        )
        self._reader = threading.Thread(target=self._read, name="tfos session", daemon=True)
        self._reader.start()
        if text:
            self._say(text)

    def _read(self):
        for line in self._process.stdout:
            e = json.loads(line)
            with self._changed:
                self._take(e)
                self._changed.notify_all()
        code = self._process.wait()
        with self._changed:
            if self.ended is None:
                self.ended = (1, self.failed) if self.failed else (4, f"tfos, which ran the job, ended with exit code {code}")
            self._gone = True
            self._changed.notify_all()

    def _take(self, e):
        what, text = e["event"], e.get("text", "")
        if what == "note":
            self._note(text)
        elif what == "submitted":
            self.application = e["application"]
        elif what == "running":
            self.tasks, self.tensorboard = e["tasks"], e.get("tensorboard")
        elif what == "failed":
            self.failed = self.failed or text
        elif what == "terminated":
            self.terminated = True
        elif what == "slots":
            self._slots = _slot.Ticket(e["address"], e["identity"], e["sha256"])
        elif what == "slot":
            self._losses[e["slot"]] = self._losses.get(e["slot"], 0) + 1
        elif what == "feeder":
            self._feeder = (e.get("address"), e.get("identity"), text)
        elif what == "synced":
            self._synced += 1
        elif what == "ended":
            self.ended = (e["code"], text + ("\n" + e["advice"] if e.get("advice") else ""))

    def _wish(self, **what):
        self._say(json.dumps(what))

    def _say(self, line):
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            pass  # it has ended, which its last event says

    def _wait(self, condition, timeout=None):
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def error(self, settled=False):
        """Why the job is over, if it failed. With settled it first hears all that has happened until now."""
        if settled:
            with self._asking:
                already = self._synced
                self._wish(do="sync")
                self._wait(lambda: self._synced > already or self._gone, _ANSWER)
        with self._changed:
            if self.ended and self.ended[0]:  # a node's words among it, if one failed
                return JobError(self.ended[1], self.ended[0])
            return JobError(self.failed) if self.failed else None

    def check(self):
        """Raise what the job failed with, if it has."""
        e = self.error()
        if e:
            raise e

    def wait_submitted(self):
        """Wait until the job is submitted, or has ended before it began."""
        self._wait(lambda: self.application is not None or self.ended)

    def wait_running(self, timeout):
        """Wait until all nodes run. False: they do not within timeout seconds."""
        self._wait(lambda: self.tasks is not None or self.failed or self.ended, timeout)
        self.check()
        return self.tasks is not None or self.ended is not None

    def wait_ended(self, timeout):
        """Wait until the job has ended. False: it has not within timeout seconds."""
        return self._wait(lambda: self.ended is not None, timeout)

    def wait_slots(self):
        """The ticket for those who hold slots."""
        self._wait(lambda: self._slots is not None or self.ended)
        self.check()
        return self._slots

    def losses(self, slot):
        """How many times a slot was lost that was taken."""
        with self._changed:
            return self._losses.get(slot, 0)

    def wait_lost(self, slot, losses):
        """Wait until a slot was lost more often, or the job has ended."""
        self._wait(lambda: self._losses.get(slot, 0) > losses or self.ended)

    def over(self):
        """Whether the job has ended, or is about to."""
        with self._changed:
            return self.ended is not None

    def ticket(self):
        """A new ticket for feeders. Threads may ask at the same time."""
        with self._asking:
            self.check()
            with self._changed:
                self._feeder = None
            self._wish(do="feeder")
            self._wait(lambda: self._feeder is not None or self._gone, _ANSWER)
            self.check()
            with self._changed:
                if not self._feeder or not self._feeder[0]:
                    raise JobError("the job takes no rows any more" + (f": {self._feeder[2]}" if self._feeder else ""), 4)
                return _wire.Ticket(self._feeder[0], self._feeder[1])

    def end(self, queues):
        self._wish(do="end", queues=list(queues))

    def stop(self, reason):
        self._wish(do="stop", reason=reason)

    def close(self, timeout=60):
        """Stop the job if it still runs, and wait for its end."""
        try:
            self._process.stdin.close()
        except OSError:
            pass
        began = time.monotonic()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the job's master notices that nobody attends it
            self._process.wait()
        self._reader.join(max(1.0, timeout - (time.monotonic() - began)))
        self._process.stdout.close()
