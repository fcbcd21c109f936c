"""Queues and values that several processes of a node share, for programs that use them beside DataFeed."""

import multiprocessing
from multiprocessing import JoinableQueue
from multiprocessing.managers import BaseManager


class TFManager(BaseManager):
    """A process that holds queues and values. get_queue(name), get(key) and set(key, value) are what it answers to."""

    def rows(self, qname_in, qname_out):
        """What a DataFeed takes its rows from."""
        from tfos.compat import TFNode

        return TFNode.QueueRows(self.get_queue(qname_in), lambda: self.get_queue(qname_out))


_queues = {}
_values = {}


def _get(key):
    return _values.get(key)


def _set(key, value):
    _values[key] = value


def _get_queue(name):
    return _queues.get(name)


def start(authkey, queues, mode="local"):
    """Start a manager with these queues. mode "remote" lets other hosts connect to it, who know the authkey; "local" does not."""
    for name in queues:
        _queues[name] = JoinableQueue()
    TFManager.register("get_queue", callable=_get_queue)
    TFManager.register("get", callable=_get)
    TFManager.register("set", callable=_set)
    address = ("", 0) if mode == "remote" else None
    mgr = TFManager(address=address, authkey=authkey, ctx=multiprocessing.get_context("fork"))
    mgr.start()
    return mgr


def connect(address, authkey):
    """A manager that another process started."""
    TFManager.register("get_queue")
    TFManager.register("get")
    TFManager.register("set")
    mgr = TFManager(address, authkey=authkey)
    mgr.connect()
    return mgr
