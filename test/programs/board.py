"""Writes a loss for TensorBoard, runs one as docs/tensorboard.md says if it has a port for it, and stays."""

import os
import signal
import sys

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

logs = os.environ.get("TFOS_CHECKPOINT_DIR", "logs")
writer = EventFileWriter(os.path.join(logs, "train"))
for step in range(20):
    value = summary_pb2.Summary.Value(tag="loss", simple_value=1 / (step + 1))
    writer.add_event(event_pb2.Event(step=step, wall_time=1.8e9 + step, summary=summary_pb2.Summary(value=[value])))
writer.close()
if "TB_PORT" not in os.environ:
    signal.pause()
os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--bind_all", "--port", os.environ["TB_PORT"],
                          "--path_prefix", os.environ["TFOS_TENSORBOARD_PATH"]])
