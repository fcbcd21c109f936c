"""Writes a loss for TensorBoard, runs one as docs/tensorboard.md says, and stays."""

import os
import sys

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

writer = EventFileWriter("logs/train")
for step in range(20):
    value = summary_pb2.Summary.Value(tag="loss", simple_value=1 / (step + 1))
    writer.add_event(event_pb2.Event(step=step, wall_time=1.8e9 + step, summary=summary_pb2.Summary(value=[value])))
writer.close()
os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", "--logdir", "logs", "--bind_all", "--port", os.environ["TB_PORT"],
                          "--path_prefix", os.environ["TFOS_TENSORBOARD_PATH"]])
