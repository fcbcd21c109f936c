"""Python imports this when it starts: it makes `import tensorflow` bring the filesystems of the task along, and has SIGQUIT print where
the program is, as a JVM does: the agent hands it on when somebody asks YARN for a thread dump. Another signal has it leave the same in a
file, for `tfos stacks`.

Nothing happens outside of a task, or in a program without TensorFlow. The sitecustomize that the environment has itself, and that
this one hides, is run as ever. A Python 2 that the program starts, a tool of the system say, reads this file as well.
"""

import os
import sys


class _TensorFlowFinder:
    """Finds TensorFlow as Python would, and registers our filesystem plugin as soon as it is imported."""

    def __init__(self):
        self._looking = False

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow" or self._looking:
            return None
        self._looking = True
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._looking = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            _after(spec.loader)
        return spec

    @staticmethod
    def _ask_others(name, path, target):
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                return spec
        return None


def _after(loader):
    execute = loader.exec_module

    def exec_module(module):
        execute(module)
        from tfos import _files

        _files.register(module)

    try:
        loader.exec_module = exec_module
    except AttributeError:
        pass  # a loader of a kind of its own: hdfs:// will be unknown to TensorFlow, as it is by itself


# Directories whose sitecustomize has run: a second copy of this file, of another tfos on the path, must not begin anew with the first.
_ran = globals().get("_ran", ()) + (os.path.realpath(os.path.dirname(__file__)),)


def _run_hidden():
    """Run the next sitecustomize on the path, in our place."""
    from importlib import machinery, util

    spec = machinery.PathFinder.find_spec("sitecustomize", [p for p in sys.path if os.path.realpath(p) not in _ran])
    if spec is None or spec.loader is None:
        return
    module = util.module_from_spec(spec)
    module._ran = _ran
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _run_hidden_in_python_2():
    for directory in sys.path:
        name = os.path.join(directory, "sitecustomize.py")
        if os.path.realpath(directory) not in _ran and os.path.exists(name):
            module = sys.modules["sitecustomize"] = type(sys)("sitecustomize")
            module.__file__, module._ran = name, _ran
            with open(name) as f:
                exec(compile(f.read(), name, "exec"), module.__dict__)
            return


def _print_stacks_on_quit():
    try:
        import faulthandler
        import signal

        if signal.getsignal(signal.SIGQUIT) == signal.SIG_DFL:
            faulthandler.register(signal.SIGQUIT, all_threads=True)
    except (ImportError, OSError, RuntimeError, ValueError):
        pass  # no standard error, or a Python without signals: then nothing is printed


def _leave_stacks_on_signal():
    """Have the signal of internal/agent/stacks write where the threads are into a file of this process's own.

    Its name says under which number it is open here. The number is a high one: a program that closes all low ones, and opens its own
    files under them, shall not have stacks in them.
    """
    try:
        import faulthandler
        import fcntl
        import signal

        number = signal.SIGRTMAX - 5
        if signal.getsignal(number) != signal.SIG_DFL:
            return
        opened = []

        def register():
            name = os.path.join(os.environ["TFOS_STACKS"], str(os.getpid()))
            low = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 300)
            finally:
                os.close(low)
            os.rename(name, "%s.%d" % (name, high))
            faulthandler.register(number, file=high, all_threads=True)
            opened.append(high)

        def again():
            try:
                register()
                os.close(opened.pop(0))  # the parent's
            except OSError:
                faulthandler.unregister(number)

        register()
        os.register_at_fork(after_in_child=again)
    except (ImportError, AttributeError, KeyError, OSError, RuntimeError, ValueError):
        pass  # the directory is gone, there are too few numbers for files: then there are no stacks


if sys.version_info < (3,):
    _run_hidden_in_python_2()
else:
    if os.environ.get("TFOS_FILES") and len(_ran) == 1:
        _print_stacks_on_quit()
        _leave_stacks_on_signal()
        sys.meta_path.insert(0, _TensorFlowFinder())
    _run_hidden()
