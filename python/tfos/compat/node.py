"""The program of a node that TFCluster starts: it makes a ctx and calls map_fun(args, ctx)."""

import importlib.util
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import traceback

from tfos import _paced, _source
from tfos.compat import TFNode

# The driver ships these to the container's directory.
SETTINGS = "tfos-node.json"
FUNCTION = "tfos-node.pickle"
CLOUDPICKLE = "tfos_cloudpickle"

# How long a node that failed waits to be stopped, in seconds: the driver ends the job for it.
_STOPPED_WITHIN = 60
# How long a node that trains in step with others, and failed, waits for word that this came of another's loss, in seconds.
_PEER_LOST_WITHIN = 3


class Manager:
    """ctx.mgr: this node's agent, as programs use a TFManager."""

    def __init__(self):
        self._values = {"state": "running"}
        self._rows = {}

    def rows(self, qname_in, qname_out):
        if qname_in not in self._rows:
            self._rows[qname_in] = TFNode.AgentRows(qname_in)
        return self._rows[qname_in]

    def get_queue(self, name):
        return _Queue(self, name)

    def get(self, key):
        return self._values.get(key)

    def set(self, key, value):
        self._values[key] = value
        if key == "state" and value == "terminating":
            self.rows("input", "output").terminate()


class _Queue:
    """A queue of the manager, for programs that do without DataFeed: rows come from input, and results go to output."""

    def __init__(self, mgr, name):
        self._mgr, self._name = mgr, name

    def get(self, block=True, timeout=None):
        rows = self._mgr.rows(self._name, "output").take(1, whole=True)
        return rows[0] if rows else None

    def put(self, item, block=True, timeout=None):
        if self._name == "error":
            raise RuntimeError(str(item))
        self._mgr.rows("input", self._name).answer([item])

    def task_done(self):
        pass

    def join(self):
        pass


class _Unpickler(pickle.Unpickler):
    """What the driver's pyspark.cloudpickle wrote, read without a pyspark here."""

    def find_class(self, module, name):
        if module.split(".")[:2] == ["pyspark", "cloudpickle"] and "pyspark" not in sys.modules:
            module = ".".join([CLOUDPICKLE] + module.split(".")[2:])
        return super().find_class(module, name)


def _hold_port(address):
    """A socket that is bound to this node's port, which programs give up by ctx.release_port()."""
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    host, _, port = address.rpartition(":")
    s.bind((host, int(port)))
    return s


def _context(settings):
    role, index = os.environ["TFOS_ROLE"], int(os.environ["TFOS_INDEX"])
    config = json.loads(os.environ["TF_CONFIG"])
    cluster = config["cluster"]
    first = 0
    for name, count in settings["roles"]:
        if name == role:
            break
        first += count
    held = None
    if not settings["release_port"] and role in cluster:
        held = _hold_port(cluster[role][index])
    return TFNode.Context(
        executor_id=first + index,
        job_name=role,
        task_index=index,
        cluster_spec=cluster,
        defaultFS=settings["default_fs"],
        working_dir=os.getcwd(),
        mgr=Manager(),
        tmp_socket=held,
        num_workers=sum(count for name, count in settings["roles"] if name in ("worker", "chief", "master")),
    )


def _start_tensorboard(settings, ctx):
    """Run TensorBoard beside the node that has a port for it. It ends with the node."""
    port, prefix = os.environ.get("TB_PORT"), os.environ.get("TFOS_TENSORBOARD_PATH")
    if not port:
        return None
    if importlib.util.find_spec("tensorboard") is None:
        print("there is no TensorBoard: this node's Python does not have it (pip install tensorboard)", file=sys.stderr)
        return None
    log_dir = settings["log_dir"] or f"tensorboard_{ctx.executor_id}"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", log_dir, "--bind_all", "--port", port, "--reload_interval", "5"]
    return subprocess.Popen(command + (["--path_prefix", prefix] if prefix else []), stdin=subprocess.DEVNULL)


def main():
    with open(SETTINGS, encoding="utf-8") as f:
        settings = json.load(f)
    for name in settings["py_files"]:  # modules in the container's directory are found already
        if name.endswith((".zip", ".egg", ".whl")):
            sys.path.insert(1, os.path.join(os.getcwd(), name))
    with open(FUNCTION, "rb") as f:
        payload = f.read()
    control = _source.Source("")  # the driver takes this node for started
    try:
        map_fun, args = _Unpickler(io.BytesIO(payload)).load()
        if isinstance(args, list):
            sys.argv = args
        ctx = _context(settings)
        _start_tensorboard(settings, ctx)
        map_fun(args, ctx)
    except SystemExit as e:
        if not e.code:
            return 0
        return _failed(e, control, settings)
    except BaseException as e:
        return _failed(e, control, settings)
    return 0


def _of_a_loss(e):
    """Whether TensorFlow says that somebody whom the program needs is away: another node, or a NameNode."""
    tf = sys.modules.get("tensorflow")
    if tf is None or not isinstance(e, tf.errors.OpError):
        return False
    return isinstance(e, (tf.errors.UnavailableError, tf.errors.AbortedError)) or "Collective ops is aborted" in str(e)


def _failed(e, control, settings):
    text = traceback.format_exc()
    sys.stderr.write(text)
    sys.stderr.flush()
    # The master knows who was lost, and the job's budget decides.
    if settings["retry"] or _of_a_loss(e) or _paced.Paced.peer_lost(_PEER_LOST_WITHIN):
        return 1
    try:
        control.fail(text)
    except Exception as e:
        print(f"the driver cannot be told: {e}", file=sys.stderr)
        return 1
    waiting = threading.Thread(target=control.wait, daemon=True)
    waiting.start()
    waiting.join(_STOPPED_WITHIN)
    return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.exit(code)
