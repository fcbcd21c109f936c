"""How many tasks Spark can run at the same time."""

import time

_SETTLED = 5.0  # seconds without a new executor, after which no more are expected
_PAUSE = 0.2  # between two looks: Spark tells nobody on the Python side when an executor comes


class TooFew(RuntimeError):
    """Spark has fewer places for tasks than the nodes that are to run at the same time."""


def require(sc, count, clock=time.monotonic, sleep=time.sleep):
    """Return once Spark can run count tasks at the same time. Raises TooFew if no new executors come that could.

    A context that was just made has no executors yet, so none is worth a longer wait than few.
    """
    most, since = -1, clock()
    while True:
        slots = _slots(sc)
        if slots >= count:
            return
        if slots > most:
            most, since = slots, clock()
        if clock() - since >= _SETTLED * (1 if slots else 12):
            raise TooFew(
                f"{count} nodes are to run at the same time, and Spark has place for {slots} tasks: ask for fewer, or give the application "
                "more executors (spark.executor.instances, spark.cores.max), or fewer cores to each task (spark.task.cpus)"
            )
        sleep(_PAUSE)


def _slots(sc):
    spark = sc._jsc.sc()
    return spark.maxNumConcurrentTasks(spark.resourceProfileManager().defaultResourceProfile())
