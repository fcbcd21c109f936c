"""The filesystems of the task, for TensorFlow: a plugin that asks the agent, over the Unix socket that TFOS_FILES names."""

import os
import platform
import sys


def plugin():
    """The plugin's file for this kind of machine, which may not be there."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
    return os.path.join(os.path.dirname(os.path.realpath(__file__)), "native", f"files_{machine}.so")


def register(tensorflow):
    """Make hdfs:// and viewfs:// known to TensorFlow, if it will have them. Programs need not have noticed if it will not."""
    try:
        tensorflow.experimental.register_filesystem_plugin(plugin())
    except Exception as e:  # whatever it is, the program may do without
        print(f"tfos: TensorFlow cannot open hdfs:// paths: {e}", file=sys.stderr)
