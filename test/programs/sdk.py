"""A task's view of the module tfos: prints what it says, and fails if that is not what the environment says."""

import os
import sys

import tfos

beside = __import__("beside")  # a module of the job's own, beside this program
theirs = __import__("theirs")  # one on the PYTHONPATH that the job file sets

t = tfos.task()
print("task", t.task, t.role, t.index, t.incarnation)
tfos.step(7, of=9)
after = tfos.task()
print("step", after.step, after.steps)
print("modules", beside.NAME, theirs.NAME)
want = (os.environ["TFOS_ROLE"], int(os.environ["TFOS_INDEX"]), int(os.environ["TFOS_INCARNATION"]))
sys.exit(0 if (t.role, t.index, t.incarnation) == want and (after.step, after.steps) == (7, 9) else 1)
