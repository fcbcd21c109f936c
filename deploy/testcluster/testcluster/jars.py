"""The jars of one Hadoop version, from Maven Central through mvn, in <home>/lib/<version>."""
import fcntl
import glob
import os
import zipfile

from .tools import Problem, program, run

VERSIONS = {"2.10": "2.10.2", "3.4": "3.4.3", "3.5": "3.5.0"}
ARTIFACTS = ["hadoop-common", "hadoop-hdfs", "hadoop-hdfs-client", "hadoop-yarn-client",
             "hadoop-yarn-server-resourcemanager", "hadoop-yarn-server-nodemanager",
             "hadoop-yarn-server-web-proxy", "hadoop-yarn-server-timelineservice",
             "hadoop-mapreduce-client-jobclient"]
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"


def full_version(version):
    """3.4 → 3.4.3; a full version stays."""
    return VERSIONS.get(version, version)


def dshell_versions(version):
    """Version of the DistributedShell jar, and of the jars it runs on.

    3.4.2 is the newest on Maven Central. It wants jersey 1, which 3.5.0 no longer has, so there too it runs on the 3.4
    line's jars.
    """
    return (version, version) if version.startswith("2.") else ("3.4.2", "3.4.3")


def directory(home, version):
    return f"{home}/lib/{version}"


def class_path(home, version):
    """All jars, then the empty web page folders.

    The cluster's conf directory comes after this: a class-data archive wants every directory behind the last jar that a
    class came from.
    """
    lib = directory(home, version)
    return sorted(glob.glob(f"{lib}/*.jar")) + [f"{lib}/overlay"]


def fetch(home, version):
    """Makes sure that the jars are there. Two callers at once fetch once."""
    lib = directory(home, version)
    if os.path.exists(f"{lib}/.complete"):
        return
    os.makedirs(f"{home}/mvn", exist_ok=True)
    with open(f"{home}/mvn/lock-{version}", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f"{lib}/.complete"):
            _fetch(home, version, lib)


def _fetch(home, version, lib):
    mvn = program("mvn", "maven")
    print(f"fetching Hadoop {version} into {lib}", flush=True)
    pom = f"{home}/mvn/pom-{version}.xml"
    with open(pom, "w", encoding="utf-8") as f:
        f.write(_pom(version))
    try:
        run(mvn, "-q", "-B", "-f", pom, f"{DEPENDENCY_PLUGIN}:copy-dependencies", "-DincludeScope=runtime",
            f"-DoutputDirectory={lib}")
    except Problem as e:
        raise Problem(f"Hadoop {version} cannot be fetched: {e}") from e
    for pages in ("hdfs", "datanode", "static"):  # the jars hold no web pages, and the servers want the folders
        os.makedirs(f"{lib}/overlay/webapps/{pages}", exist_ok=True)
    with open(f"{lib}/.complete", "w", encoding="utf-8"):
        pass


def _pom(version):
    def dependency(artifact, of_version, more=""):
        return (f"<dependency><groupId>org.apache.hadoop</groupId><artifactId>{artifact}</artifactId>"
                f"<version>{of_version}</version>{more}</dependency>")
    alone = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    wanted = [dependency(a, version) for a in ARTIFACTS]
    wanted.append(dependency("hadoop-yarn-applications-distributedshell", dshell_versions(version)[0], alone))
    return ('<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
            "<groupId>tfos.testcluster</groupId><artifactId>hadoop</artifactId><version>1</version>"
            "<packaging>pom</packaging><dependencies>\n" + "\n".join(wanted) + "\n</dependencies></project>\n")


def fetch_native(home):
    """Directory of libhadoop.so 3.3.5, as Trino repackages it: without it a secure NodeManager aggregates no log."""
    lib = f"{home}/lib/native"
    if not os.path.exists(f"{lib}/libhadoop.so"):
        run(program("mvn", "maven"), "-q", "-B", f"{DEPENDENCY_PLUGIN}:copy",
            "-Dartifact=io.trino.hadoop:hadoop-apache:3.3.5-3", f"-DoutputDirectory={lib}")
        with zipfile.ZipFile(f"{lib}/hadoop-apache-3.3.5-3.jar") as jar:
            so = jar.read("nativelib/Linux-amd64/libhadoop.so")
        with open(f"{lib}/libhadoop.so.tmp", "wb") as f:
            f.write(so)
        os.rename(f"{lib}/libhadoop.so.tmp", f"{lib}/libhadoop.so")
    return lib
