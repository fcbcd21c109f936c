"""Counts the steps that the summaries below a directory tell of: count_summaries.py DIRECTORY. Fails if one is damaged."""
import glob
import sys

import tensorflow as tf

steps = set()
for name in glob.glob(sys.argv[1] + "/**/*tfevents*", recursive=True):
    for event in tf.compat.v1.train.summary_iterator(name):
        steps.add(event.step)
steps.discard(0)
print(f"{len(steps)} steps up to {max(steps, default=0)}")
