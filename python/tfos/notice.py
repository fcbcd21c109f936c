"""Notices: YARN is about to take this task's container, or its node away.

    options = tf.distribute.experimental.TerminationConfig(termination_watcher_fn=tfos.termination_watcher())

The agent writes the notice into the file that TFOS_NOTICE_FILE names, whole or not at all, and removes it when the danger is over.
"""

import json
import os
import time
from typing import Callable, NamedTuple, Optional

from tfos import _agent


class Notice(NamedTuple):
    """What is about to happen to this task. A later tfos may tell more."""

    reason: str  # "preempted" or "draining"
    deadline: float  # seconds since the epoch, until when the process may run; it may be stopped earlier, with SIGTERM
    text: str  # a sentence for a log

    def seconds_left(self) -> float:
        """How long there still is; 0: it may end at any moment."""
        return max(0.0, self.deadline - time.time())


def notice() -> Optional[Notice]:
    """The notice that stands now; None: there is none. It reads one small file. Raises NotInTask outside of a task."""
    name = os.environ.get("TFOS_NOTICE_FILE")
    if not name:
        raise _agent.NotInTask("TFOS_NOTICE_FILE is not set: this program was not started by tfos; start it by `tfos run`")
    try:
        with open(name, encoding="utf-8") as f:
            n = json.load(f)
    except FileNotFoundError:
        return None
    return Notice(n["reason"], n["deadline_unix"], n["text"])


def termination_watcher() -> Callable[[], bool]:
    """A termination_watcher_fn for tf.distribute.experimental.TerminationConfig: whether a notice stands.

    TensorFlow asks it about once a second in a thread of its own, and saves a checkpoint when it says yes.
    """

    def watch() -> bool:
        return notice() is not None

    return watch
