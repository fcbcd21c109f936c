"""What TFCluster gives its nodes."""

import importlib
import os
import sys
import tempfile
import unittest
import zipfile

from tfos.compat import TFCluster, node


class CloudpickleTest(unittest.TestCase):
    def test_it_is_found_in_a_zip_too(self):
        """spark-submit puts pyspark.zip on the driver's path."""
        with tempfile.TemporaryDirectory() as directory:
            archive = os.path.join(directory, "spark.zip")
            with zipfile.ZipFile(archive, "w") as z:
                z.writestr("sparks_own/__init__.py", "from sparks_own import part\n")
                z.writestr("sparks_own/part.py", "NAME = 'sparks_own.part'\n")
            sys.path.insert(0, archive)
            self.addCleanup(sys.path.remove, archive)
            target = os.path.join(directory, "copy")
            TFCluster._copy_cloudpickle(importlib.import_module("sparks_own"), target)
            found = {}
            for name in os.listdir(target):
                with open(os.path.join(target, name)) as f:
                    found[name] = f.read()
            self.assertEqual(found, {"__init__.py": f"from {node.CLOUDPICKLE} import part\n", "part.py": f"NAME = '{node.CLOUDPICKLE}.part'\n"})
