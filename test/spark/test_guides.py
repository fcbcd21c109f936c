"""The programs in docs/guide, each run by the command below it."""

import os
import re

import harness

GUIDES = os.path.join(harness.REPOSITORY, "docs", "guide")
_PROGRAM = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)


class GuidesTest(harness.SparkTest):
    @classmethod
    def setUpClass(cls):
        """They have a Spark of their own."""

    def run_guide(self, page, place="/nothing"):
        """Run the programs of a page in this test's directory, which place stands for, and return what each printed."""
        with open(os.path.join(GUIDES, page), encoding="utf-8") as f:
            text = f.read()
        printed = {}
        for name, program in _PROGRAM.findall(text):
            path = os.path.join(self.directory, name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(program)
            args = re.search(rf"^spark-submit --master spark://master:7077 {name}(.*)$", text, re.MULTILINE).group(1)
            printed[name] = harness.submit(path, *args.replace(place, self.directory).split())
        return printed

    def test_spark_feeds(self):
        printed = self.run_guide("spark-feeds.md", "/nfs/me")
        with open(os.path.join(self.directory, "weights")) as f:
            self.assertEqual(f.read(), "2.00 -3.00")
        self.assertIn("the sum of squares is 332833500\n", printed["square.py"])

    def test_spark_reads(self):
        self.run_guide("spark-reads.md", "/nfs/me")
        found = {}
        for name in ("worker-0", "worker-1"):
            with open(os.path.join(self.directory, "numbers", name)) as f:
                found[name] = int(f.read())
        self.assertEqual(sum(found.values()), 499500)

    def test_from_tensorflowonspark(self):
        self.assertIn("the sum of squares is 332833500", self.run_guide("from-tensorflowonspark.md")["squares.py"])
