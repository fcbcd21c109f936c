"""The programs in examples/spark, each run by the command at its head."""

import difflib
import glob
import json
import os
import re
import subprocess
import sys
import unittest

import harness
from harness import REPOSITORY, SparkTest

EXAMPLES = os.path.join(REPOSITORY, "examples", "spark")


class ExamplesTest(SparkTest):
    @classmethod
    def setUpClass(cls):
        """They have a Spark of their own."""

    def run_example(self, name, *args, on_line=lambda line: None):
        """Run it as its head says, but for the master, and return what it printed."""
        program = os.path.join(EXAMPLES, name)
        with open(program, encoding="utf-8") as f:
            options = re.search(rf"spark-submit --master spark://… (.*){name}", f.read()).group(1).split()
        return harness.submit(program, *args, options=options, on_line=on_line)

    def accuracy(self, name, directory, **more):
        return float(re.search(r"accuracy ([0-9.]+) on", self.run_example(name, directory, **more)).group(1))

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

    def images(self, held_out=True):
        """Label and image of the digits that are held out, or of the others, in their order of partitions."""
        sys.path.insert(0, EXAMPLES)
        self.addCleanup(sys.path.remove, EXAMPLES)
        import digits

        return [(r.label, r.image) for r in digits.split(digits.frame(harness.session()))[held_out].collect()]

    def test_digits_read_and_their_evaluation(self):
        directory = self.directory_of("read")
        self.assertGreaterEqual(self.accuracy("digits_read.py", directory), 0.95)

        args = ["--model", directory + "/model", "--data", directory + "/records/part-*", "--eval-dir"]
        subprocess.run([sys.executable, os.path.join(EXAMPLES, "digits_eval.py"), *args, directory + "/plain"], check=True, stderr=subprocess.DEVNULL)
        self.run_example("digits_eval_spark.py", *args, directory + "/spark")
        found = [self.evaluation(directory + where) for where in ("/plain", "/spark")]
        self.assertEqual(found[0], found[1])
        self.assertEqual(sum(int(line.split()[1]) for line in found[0].values()), 1797 * 4 // 5)

    def evaluation(self, directory):
        found = {}
        for name in os.listdir(directory):
            with open(os.path.join(directory, name)) as f:
                found[name] = f.read()
        return found

    def test_digits_estimator(self):
        self.assertGreaterEqual(self.accuracy("digits_estimator.py", self.directory_of("estimator")), 0.95)

    def test_wine_features(self):
        self.assertGreaterEqual(self.accuracy("wine_features.py", self.directory_of("wine")), 0.9)

    def test_digits_stream(self):
        directory = self.directory_of("stream")
        os.makedirs(directory + "/in")
        lines = [json.dumps([label, image]) + "\n" for label, image in self.images(held_out=False)]

        def feed(line):
            if "the stream has started" in line:
                for i in range(4):  # a file that is moved there is whole when Spark sees it
                    with open(f"{directory}/{i}", "w") as f:
                        f.writelines(lines)
                    os.rename(f"{directory}/{i}", f"{directory}/in/{i}")

        self.assertGreaterEqual(self.accuracy("digits_stream.py", directory, on_line=feed), 0.85)

    def test_sweep(self):
        self.assertGreaterEqual(self.accuracy("sweep.py", self.directory_of("sweep")), 0.9)


class DiffTest(unittest.TestCase):
    def test_ten_lines(self):
        """What it takes to bring a plain program to Spark."""
        texts = []
        for name in ("digits_eval.py", "digits_eval_spark.py"):
            with open(os.path.join(EXAMPLES, name), encoding="utf-8") as f:
                texts.append(f.read().split('"""', 2)[2].splitlines())
        added = [line for line in difflib.ndiff(*texts) if line.startswith("+ ")]
        self.assertLessEqual(len(added), 10, added)
