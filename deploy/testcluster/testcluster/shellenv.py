"""What `cluster env` prints: variables and shell functions that act on the cluster."""
import shlex

from . import jars, kerberos
from .daemons import OPENS
from .layout import HOME

# command of Hadoop's own scripts → class; "*" takes the command word as its first argument
TOOLS = {
    "hdfs": {"dfs": "org.apache.hadoop.fs.FsShell", "dfsadmin": "org.apache.hadoop.hdfs.tools.DFSAdmin",
             "ec": "org.apache.hadoop.hdfs.tools.ECAdmin", "crypto": "org.apache.hadoop.hdfs.tools.CryptoAdmin",
             "fsck": "org.apache.hadoop.hdfs.tools.DFSck", "fetchdt": "org.apache.hadoop.hdfs.tools.DelegationTokenFetcher"},
    "hadoop": {"fs": "org.apache.hadoop.fs.FsShell", "jar": "org.apache.hadoop.util.RunJar"},
    "yarn": {"node": "org.apache.hadoop.yarn.client.cli.NodeCLI", "logs": "org.apache.hadoop.yarn.client.cli.LogsCLI",
             "rmadmin": "org.apache.hadoop.yarn.client.cli.RMAdminCLI",
             "queue": "org.apache.hadoop.yarn.client.cli.QueueCLI", "jar": "org.apache.hadoop.util.RunJar"},
}
WITH_WORD = {"application", "app", "applicationattempt", "container"}


def variables(lay):
    env = {"JAVA_HOME": lay.java, "HADOOP_CONF_DIR": lay.conf, "YARN_CONF_DIR": lay.conf,
           "CLASSPATH": ":".join(lay.class_path()),
           "RM_WEB": f"http://{lay.web(lay.rm_port(1, 'webapp.address'))}",
           "NN_WEB": f"http://{lay.web(lay.nn_port('http'))}", "CLUSTER_NAME": lay.name}
    options = [f"-Djdk.net.hosts.file={lay.conf}/hosts", f"-Dlog4j.configuration=file:{lay.conf}/log4j.properties",
               "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    if lay.kerberos:
        env |= kerberos.client_env(lay)
        options += [OPENS[-1], f"-Djava.security.krb5.conf={env['KRB5_CONFIG']}"]
    else:
        env["HADOOP_USER_NAME"] = "root"
    if lay.version.startswith("2."):
        options += OPENS[:-1]
    env["TESTCLUSTER_JAVA_OPTS"] = " ".join(options)
    return env


def lines(lay):
    """Shell text for `eval`."""
    for key, value in variables(lay).items():
        yield f"export {key}={shlex.quote(value)}"
    java = f"{shlex.quote(lay.java)}/bin/java $TESTCLUSTER_JAVA_OPTS"
    for function, tools in TOOLS.items():
        cases = [f'{word}) shift; {java} {main} "$@";;' for word, main in tools.items()]
        if function == "yarn":
            cases.append(f'{"|".join(sorted(WITH_WORD))}) {java} '
                         'org.apache.hadoop.yarn.client.cli.ApplicationCLI "$@";;')
        cases.append(f'*) echo "{function}: no $1 here" >&2; return 2;;')
        yield f"{function}() {{ case $1 in {' '.join(cases)} esac; }}"
    shell, line = jars.dshell_versions(lay.version)
    lib = jars.directory(HOME, line)
    yield (f"dshell() {{ {java} -cp {shlex.quote(f'{lay.dir}/conf-dshell:{lib}/*')} "
           "org.apache.hadoop.yarn.applications.distributedshell.Client "
           f'-jar {shlex.quote(f"{lib}/hadoop-yarn-applications-distributedshell-{shell}.jar")} "$@"; }}')
