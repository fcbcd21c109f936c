"""A real Hadoop cluster from Maven Central's jars: one JVM per daemon, on loopback or on hosts of their own.

tools      finds java, mvn and the Kerberos programs, or says in one line how to get them
jars       the jars of one Hadoop version, fetched once
layout     where a cluster's files, ports and addresses lie
hosts      network namespaces as hosts: `up --netns`, `on`, `cut`, `heal`
siteconf   writes the *-site.xml files
kerberos   the key distribution centre and its keytabs
daemons    starts, stops and pauses processes; makes class-data archives so that the next start is faster
probe      asks running daemons how they are
lifecycle  puts those together: up, down, wait
shellenv   what `cluster env` prints
cli        the command line

Nothing is written outside $TESTCLUSTER_HOME (default <checkout>/build/testcluster), Maven's own cache and the
temporary directory; /etc/hosts stays as it is, and `--netns` leaves nothing in /run/netns after `down`.
"""
