"""TensorFlowOnSpark's API on tfos, module by module: `from tfos.compat import TFCluster, TFNode`.

Importing a module needs the standard library only, and pipeline pyspark. pyspark, TensorFlow and Arrow are imported by the functions that
work with them.
docs/spark.md says what differs from the original.
"""
