"""The distribution that lets programs keep their imports."""

import glob
import importlib
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES = os.path.join(HERE, "names")
PACKAGES = ["tensorflowonspark", "com.yahoo.ml.tf"]


def public():
    """The modules of tfos.compat that programs import."""
    found = [os.path.basename(name)[:-3] for name in glob.glob(os.path.join(HERE, "tfos", "compat", "*.py"))]
    return sorted(name for name in found if not name.startswith("_") and name != "node")


WITH_PYSPARK = ["pipeline"]  # whose classes are Spark's


class NamesTest(unittest.TestCase):
    def setUp(self):
        sys.path.insert(0, NAMES)
        self.addCleanup(sys.path.remove, NAMES)

    def test_each_name_is_the_same_module(self):
        for package in PACKAGES:
            for name in set(public()) - set(WITH_PYSPARK):
                with self.subTest(f"{package}.{name}"):
                    self.assertIs(importlib.import_module(f"{package}.{name}"), importlib.import_module(f"tfos.compat.{name}"))

    def test_each_module_has_its_names(self):
        for package in PACKAGES:
            for name in public():
                self.assertTrue(os.path.exists(os.path.join(NAMES, *package.split("."), name + ".py")), f"{package}.{name}")

    def test_as_programs_import(self):
        """In a Python without pyspark, TensorFlow, or anything else."""
        names = ", ".join(sorted(set(public()) - set(WITH_PYSPARK)))
        lines = [f"from {p} import {names}\nassert dfutil.__name__ == 'tfos.compat.dfutil', dfutil" for p in PACKAGES]
        lines.append("import tensorflowonspark.dfutil as a, com.yahoo.ml.tf.dfutil as b\nassert a is b")
        env = {"PYTHONPATH": os.pathsep.join([HERE, NAMES]), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([sys.executable, "-S", "-c", "\n".join(lines)], env=env, check=True)
