"""Runs one of the digits programs, which it imports, with summaries beside the checkpoints: with_summaries.py PROGRAM [OPTIONS]."""
import functools
import importlib
import os
import sys

import digits
import tensorflow as tf

name = sys.argv.pop(1)
progress = digits.progress


@functools.cache
def writer():  # not before TensorFlow is told how many threads it has
    return tf.summary.create_file_writer(os.environ["TFOS_CHECKPOINT_DIR"] + "/summaries")


def progress_and_summary(step, steps, value):
    with writer().as_default():
        tf.summary.write("loss", tf.constant(value), step=step, metadata=tf.compat.v1.SummaryMetadata())
    progress(step, steps, value)


leads = (os.environ["TFOS_ROLE"], os.environ["TFOS_INDEX"]) == ("chief" if "_ps" in name else "worker", "0")
if leads and "_v1" not in name:  # whose hook writes some
    digits.progress = progress_and_summary
importlib.import_module(name.removesuffix(".py")).main()
