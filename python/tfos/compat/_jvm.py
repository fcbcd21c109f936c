"""Our classes in the JVM of a Spark driver and in those of its executors."""

import contextlib
import os

BYTES_OUTPUT = "tfos.spark.BytesOutput"
TFRECORD_INPUT = "tfos.spark.TFRecordInput"

_JAR = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "native", "spark.jar")


@contextlib.contextmanager
def classes(sc):
    """Let Spark find our classes by name in what this thread asks of it within.

    A driver's class path is fixed when its JVM starts, but two class loaders can be told of a jar later: the thread's, by which Spark
    looks names up, and that of the Hadoop configuration.
    """
    conf = sc._jsc.hadoopConfiguration()
    if conf.getClassByNameOrNull(BYTES_OUTPUT) is None:
        sc._jsc.addJar(_JAR)  # for the executors
        urls = sc._gateway.new_array(sc._jvm.java.net.URL, 1)
        urls[0] = sc._jvm.java.io.File(_JAR).toURI().toURL()
        conf.setClassLoader(sc._jvm.java.net.URLClassLoader(urls, conf.getClassLoader()))
    thread = sc._jvm.java.lang.Thread.currentThread()
    before = thread.getContextClassLoader()
    thread.setContextClassLoader(conf.getClassLoader())
    try:
        yield
    finally:
        thread.setContextClassLoader(before)
