"""Kerberos for a cluster: a KDC on loopback, keytabs, TLS keys, and the properties that make the daemons use them."""
import os

from .tools import program, run

REALM = "YARN.TEST"
KRB5_OPENS = "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED"  # Hadoop 2 asks for the default realm there
USERS = ("root", "alice", "bob")  # each has <krb5>/<user>.keytab


def client_env(lay):
    """What a Kerberos client of the cluster needs in its environment; root is logged in."""
    return {"KRB5_CONFIG": f"{lay.krb5}/krb5.conf", "KRB5CCNAME": f"FILE:{lay.krb5}/cc"}


def server_env(lay):
    return {**os.environ, "KRB5_CONFIG": f"{lay.krb5}/krb5.conf", "KRB5_KDC_PROFILE": f"{lay.krb5}/kdc.conf"}


def kdc_command():
    return [program("krb5kdc", "krb5-kdc"), "-n"]


def login(lay, user, principal):
    """Fills the cluster's ticket cache."""
    run(program("kinit", "krb5-user"), "-k", "-t", f"{lay.krb5}/{user}.keytab", principal,
        env={**os.environ, **client_env(lay)})


def secure(lay, core, hdfs, yarn):
    """Adds the properties of a secure cluster, and the TLS files that it needs for unprivileged ports."""
    from .siteconf import xml  # siteconf calls us: at the top it would be a circle
    core |= {
        "hadoop.security.authentication": "kerberos", "hadoop.security.authorization": "true",
        "hadoop.rpc.protection": "authentication",
        # the DEFAULT rule alone would need a default realm, which a client without krb5.conf has not
        "hadoop.security.auth_to_local":
            f"RULE:[2:$1/$2@$0](hdfs/.*@{REALM})s/.*/hdfs/\nRULE:[2:$1/$2@$0](yarn/.*@{REALM})s/.*/yarn/\n"
            f"RULE:[1:$1@$0](.*@{REALM})s/@.*//\nDEFAULT",
    }
    for daemon in ("namenode", "datanode"):
        hdfs[f"dfs.{daemon}.kerberos.principal"] = f"hdfs/_HOST@{REALM}"
        hdfs[f"dfs.{daemon}.keytab.file"] = f"{lay.krb5}/hdfs.keytab"
    hdfs |= {
        "dfs.block.access.token.enable": "true",
        "dfs.web.authentication.kerberos.principal": f"HTTP/_HOST@{REALM}",
        "dfs.web.authentication.kerberos.keytab": f"{lay.krb5}/hdfs.keytab",
        # unprivileged DataNode ports need SASL on the data channel and https
        "dfs.data.transfer.protection": "authentication", "dfs.http.policy": "HTTPS_ONLY",
        "dfs.https.server.keystore.resource": "ssl-server.xml",
    }
    for daemon in ("resourcemanager", "nodemanager"):
        yarn[f"yarn.{daemon}.principal"] = f"yarn/_HOST@{REALM}"
        yarn[f"yarn.{daemon}.keytab"] = f"{lay.krb5}/yarn.keytab"
    # a JVM in a container, DistributedShell's say, needs to know the realm
    yarn["yarn.nodemanager.admin-env"] = \
        f"MALLOC_ARENA_MAX=$MALLOC_ARENA_MAX,JDK_JAVA_OPTIONS={KRB5_OPENS} " \
        f"-Djava.security.krb5.conf={lay.krb5}/krb5.conf"
    if lay.version.startswith("3.5"):  # libhadoop.so 3.3.5 does not fit it, and then aggregation kills the NodeManager
        yarn["yarn.log-aggregation-enable"] = "false"
    keystore = f"{lay.krb5}/keystore.jks"
    trust = {"location": keystore, "password": "changeit"}
    xml(f"{lay.conf}/ssl-server.xml",
        {f"ssl.server.keystore.{k}": v for k, v in (trust | {"keypassword": "changeit"}).items()} |
        {f"ssl.server.truststore.{k}": v for k, v in trust.items()})
    xml(f"{lay.conf}/ssl-client.xml", {f"ssl.client.truststore.{k}": v for k, v in trust.items()})


def make_realm(lay):
    """Makes the database, the keytabs and the TLS keys. Runs before the KDC is started for the first time."""
    os.makedirs(lay.krb5)
    port, k = lay.kdc_port(), lay.krb5
    with open(f"{k}/krb5.conf", "w", encoding="utf-8") as f:
        f.write(f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
                " dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n ticket_lifetime = 1d\n"
                " renew_lifetime = 7d\n forwardable = true\n"
                f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n[domain_realm]\n localhost = {REALM}\n")
    with open(f"{k}/kdc.conf", "w", encoding="utf-8") as f:
        f.write(f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n"
                f"[realms]\n {REALM} = {{\n  database_name = {k}/principal\n  key_stash_file = {k}/stash\n"
                f"  max_life = 1d\n  max_renewable_life = 7d\n }}\n[logging]\n kdc = FILE:{lay.dir}/log/kdc.log\n")
    run(program("kdb5_util", "krb5-kdc"), "create", "-s", "-r", REALM, "-P", "master", env=server_env(lay))
    hosts = [lay.nm_host(i) for i in range(1, lay.nms + 1)]
    keytabs = {"hdfs": ["hdfs/localhost", "HTTP/localhost"],
               "yarn": ["yarn/localhost", "HTTP/localhost"] + [f"{s}/{h}" for h in hosts for s in ("yarn", "HTTP")],
               **{user: [user] for user in USERS}}
    wishes = [f"addprinc -randkey {p}\nktadd -norandkey -k {k}/{name}.keytab {p}\n"
              for name, principals in keytabs.items() for p in principals]
    run(program("kadmin.local", "krb5-admin-server"), "-r", REALM, env=server_env(lay), input="".join(wishes))
    run(f"{lay.java}/bin/keytool", "-genkeypair", "-alias", "local", "-keyalg", "RSA", "-dname", "CN=localhost",
        "-ext", "SAN=dns:localhost," + ",".join(f"ip:{h}" for h in hosts), "-validity", "3650",
        "-keystore", f"{k}/keystore.jks", "-storepass", "changeit", "-keypass", "changeit")
