package conf

// defaults are those of core-default.xml, hdfs-default.xml and yarn-default.xml for the keys that
// tfos reads.
var defaults = map[string]string{
	"fs.defaultFS":                         "file:///",
	"fs.permissions.umask-mode":            "022",
	"hadoop.tmp.dir":                       "/tmp/hadoop-${user.name}",
	"hadoop.rpc.protection":                "authentication",
	"hadoop.security.authentication":       "simple",
	"hadoop.security.token.service.use_ip": "true",

	"dfs.replication":                  "3",
	"dfs.blocksize":                    "134217728",
	"dfs.encrypt.data.transfer":        "false",
	"dfs.client.use.datanode.hostname": "false",

	"yarn.resourcemanager.hostname":                  "0.0.0.0",
	"yarn.resourcemanager.address":                   "${yarn.resourcemanager.hostname}:8032",
	"yarn.resourcemanager.scheduler.address":         "${yarn.resourcemanager.hostname}:8030",
	"yarn.resourcemanager.webapp.address":            "${yarn.resourcemanager.hostname}:8088",
	"yarn.resourcemanager.webapp.https.address":      "${yarn.resourcemanager.hostname}:8090",
	"yarn.resourcemanager.ha.enabled":                "false",
	"yarn.resourcemanager.am.max-attempts":           "2",
	"yarn.resourcemanager.connect.max-wait.ms":       "900000",
	"yarn.resourcemanager.connect.retry-interval.ms": "30000",
	"yarn.am.liveness-monitor.expiry-interval-ms":    "600000", // 900000 since 3.4: the shorter one is safe with both
	"yarn.http.policy":                               "HTTP_ONLY",
	"yarn.log-aggregation-enable":                    "false",
	"yarn.log-aggregation.file-formats":              "TFile",
	"yarn.nodemanager.vmem-check-enabled":            "true",
	"yarn.nodemanager.vmem-pmem-ratio":               "2.1",
	"yarn.nodemanager.remote-app-log-dir":            "/tmp/logs",
	"yarn.nodemanager.remote-app-log-dir-suffix":     "logs",
}

// deprecated are old names of keys, as org.apache.hadoop.conf.Configuration maps them.
var deprecated = map[string]string{
	"fs.default.name":             "fs.defaultFS",
	"dfs.umaskmode":               "fs.permissions.umask-mode",
	"dfs.block.size":              "dfs.blocksize",
	"dfs.federation.nameservices": "dfs.nameservices",
}

// canonical is a key's present name.
func canonical(key string) string {
	if now, ok := deprecated[key]; ok {
		return now
	}
	return key
}
