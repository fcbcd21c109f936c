"""What has another name in each TensorFlow."""

import shutil
import tempfile
from typing import Any

__all__ = ["disable_auto_shard", "export_saved_model", "is_gpu_available"]


def export_saved_model(model: Any, export_dir: str, is_chief: bool = False) -> None:
    """Write a model as a SavedModel, a Keras model of any version or a tf.Module.

    All workers call it, for writing may read variables that they hold together. What workers other than the chief write is thrown away.
    """
    if is_chief:
        _save(model, export_dir)
        return
    elsewhere = tempfile.mkdtemp(prefix="tfos-export-")
    try:
        _save(model, elsewhere)
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)


def _save(model, directory):
    if hasattr(model, "export"):  # Keras 3, whose save() writes another format, and the last Keras 2
        model.export(directory)
    elif hasattr(model, "save"):
        model.save(directory, save_format="tf")
    else:
        import tensorflow as tf

        tf.saved_model.save(model, directory)


def disable_auto_shard(options: Any) -> None:
    """Keep a tf.data.Options' dataset whole on each worker: what a worker is fed is its own share already."""
    import tensorflow as tf

    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF


def is_gpu_available() -> bool:
    """Whether TensorFlow sees a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
