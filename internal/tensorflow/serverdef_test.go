package tensorflow

import (
	"encoding/hex"
	"strings"
	"testing"
)

// TestServerDef compares with what Python's protobuf makes of the same cluster:
//
//	ServerDef(cluster=tf.train.ClusterSpec({"chief": ["c:3"], "ps": ["b:2"]}).as_cluster_def(),
//	          job_name="ps", task_index=0, protocol="grpc").SerializeToString(deterministic=True).hex()
func TestServerDef(t *testing.T) {
	task, err := ParseTask(`{"cluster": {"chief": ["c:3"], "ps": ["b:2"]}, "task": {"type": "ps", "index": 0}}`)
	if err != nil {
		t.Fatal(err)
	}
	const want = "0a210a100a056368696566120708001203633a330a0d0a027073120708001203623a32120270732a0467727063"
	if got := hex.EncodeToString(task.ServerDef()); got != want {
		t.Errorf("ServerDef is\n%s, want\n%s", got, want)
	}
	if task.Address() != "b:2" || task.String() != "ps/0" {
		t.Errorf("%s at %s", task, task.Address())
	}
}

func TestParseTaskRefuses(t *testing.T) {
	for _, config := range []string{"", "[]", `{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 1}}`, `{"cluster": {"ps": ["a:1"]}, "task": {"type": "worker", "index": 0}}`} {
		if task, err := ParseTask(config); err == nil || !strings.HasPrefix(err.Error(), "TF_CONFIG: ") {
			t.Errorf("%s: %v, %v", config, task, err)
		}
	}
}
