"""The programs in examples/spark, each run by the command at its head."""

import glob
import json
import os
import re
import sys

import harness
from harness import REPOSITORY, SparkTest

EXAMPLES = os.path.join(REPOSITORY, "examples", "spark")


class ExamplesTest(SparkTest):
    @classmethod
    def setUpClass(cls):
        """They have a Spark of their own."""

    def run_example(self, name, *args):
        """Run it as its head says, but for the master, and return what it printed."""
        program = os.path.join(EXAMPLES, name)
        with open(program, encoding="utf-8") as f:
            options = re.search(rf"spark-submit --master spark://… (.*){name}", f.read()).group(1).split()
        return harness.submit(program, *args, options=options)

    def accuracy(self, name, directory):
        return float(re.search(r"accuracy ([0-9.]+) on", self.run_example(name, directory)).group(1))

    def directory_of(self, name):
        return os.path.join(self.directory, name)

    def test_digits_fed(self):
        import tensorflow as tf

        directory = self.directory_of("fed")
        self.assertGreaterEqual(self.accuracy("digits_fed.py", directory), 0.95)

        # The scores are those of the model itself, to the last bit, for the batches that the nodes took.
        run = tf.saved_model.load(directory + "/model").signatures["serving_default"]
        images = self.images()
        count = 0
        for name in sorted(glob.glob(directory + "/predictions/part-*")):
            with open(name) as f:
                rows = [json.loads(line) for line in f]
            part = [images[count + i] for i in range(len(rows))]
            count += len(rows)
            for at in range(0, len(rows), 50):
                want = run(x=tf.constant([image for _, image in part[at : at + 50]], tf.float32))["scores"].numpy().tolist()
                self.assertEqual(rows[at : at + 50], [[label, scores] for (label, _), scores in zip(part[at : at + 50], want)])
        self.assertEqual(count, len(images))

    def images(self):
        """Label and image of the digits that are held out, in their order of partitions."""
        sys.path.insert(0, EXAMPLES)
        self.addCleanup(sys.path.remove, EXAMPLES)
        import digits

        return [(r.label, r.image) for r in digits.split(digits.frame(harness.session()))[1].collect()]

    def test_digits_read(self):
        self.assertGreaterEqual(self.accuracy("digits_read.py", self.directory_of("read")), 0.95)

    def test_digits_estimator(self):
        self.assertGreaterEqual(self.accuracy("digits_estimator.py", self.directory_of("estimator")), 0.95)
