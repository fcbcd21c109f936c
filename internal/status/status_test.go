package status

import (
	"encoding/json"
	"testing"
	"time"
)

// Scripts read these keys: they are added to, never renamed or removed, and null where nothing is
// known yet.
const document = `{
  "id": "application_1_0001",
  "name": "digits",
  "state": "running",
  "queue": "ml",
  "user": "ann",
  "generation": 1,
  "started": "2026-03-01T12:00:00Z",
  "finished": null,
  "exit_code": null,
  "diagnostics": "",
  "tracking_url": "http://rm/proxy/application_1_0001",
  "tensorboard_url": "",
  "progress": 0.5,
  "roles": [
    {
      "role": "worker",
      "instances": 2,
      "gpus": 0
    }
  ],
  "tasks": [
    {
      "role": "worker",
      "index": 1,
      "incarnation": 2,
      "state": "running",
      "node": "n1",
      "container": "container_1_0001_01_000002",
      "pid": 42,
      "address": "n1:4001",
      "agent": "n1:4000",
      "step": 15,
      "steps": 30,
      "steps_per_second": 2.5,
      "loss": null,
      "memory_bytes": 1048576,
      "cpu": 0.5,
      "log_url": "http://node1:8042/node/containerlogs/container_1_7_01_000002/ann",
      "started": "2026-03-01T12:00:00Z",
      "finished": null,
      "exit_code": null,
      "cause": "",
      "why": "",
      "endpoints": "forward",
      "endpoints_reason": "no library",
      "peers": [
        {
          "task": "ps/0",
          "connections": 3,
          "refused": 1,
          "resets": 2,
          "sent": 4096,
          "received": -1
        }
      ],
      "mirror": {
        "fetched": {
          "checkpoint": "ckpt-11",
          "step": 11,
          "bytes": 1024,
          "seconds": 0.5,
          "at": "2026-03-01T12:00:00Z"
        },
        "uploaded": null,
        "uploads": 2,
        "problem": "no NameNode answers"
      }
    }
  ],
  "resumed_from": "application_1_0000",
  "recovery": {
    "strategy": "mirrored",
    "endpoints": "redirect",
    "losses": [
      {
        "role": "worker",
        "also": [
          "worker"
        ]
      }
    ],
    "failures": 1,
    "user_failures": 3,
    "window_seconds": 3600,
    "masters": 0,
    "master_window_seconds": 0,
    "resubmit": 0
  },
  "restarts": [
    {
      "task": "worker/1",
      "cause": "preempted",
      "why": "",
      "at": "2026-03-01T12:00:00Z",
      "step": 15,
      "resumed_step": 12,
      "lost_steps": 3,
      "seconds": 1.5,
      "new_container": true
    }
  ],
  "restart_counts": [
    {
      "role": "worker",
      "cause": "preempted",
      "count": 201
    }
  ],
  "attempt": 2,
  "master_restarts": [
    "2026-03-01T12:00:00Z"
  ],
  "checkpoints": [
    {
      "path": "hdfs:///m/ckpt-12",
      "format": "bundle",
      "step": 12,
      "bytes": 1024,
      "time": "2026-03-01T12:00:00Z",
      "verdict": "whole",
      "by": "chief/0"
    }
  ],
  "inputs": [
    {
      "name": "text /data/*",
      "role": "",
      "epoch": 2,
      "epochs": 3,
      "done": 10,
      "total": 40,
      "leased": 4
    }
  ],
  "last_failure": {
    "at": "2026-03-01T12:00:00Z",
    "text": "worker/1 failed: exit code 1. Its last line: ValueError"
  },
  "problems": []
}`

func TestKeysOfTheDocument(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	resumed := int64(12)
	v := View{
		ID: "application_1_0001", Name: "digits", State: Running, Queue: "ml", User: "ann", Generation: 1, Started: at,
		TrackingURL: "http://rm/proxy/application_1_0001", Progress: 0.5, ResumedFrom: "application_1_0000",
		Recovery: Recovery{Strategy: "mirrored", Endpoints: "redirect", Losses: []Loss{{Role: "worker", Also: []string{"worker"}}},
			Failures: 1, UserFailures: 3, Window: 3600},
		Roles: []Role{{Name: "worker", Instances: 2}},
		Tasks: []Task{{Role: "worker", Index: 1, Incarnation: 2, State: Running, Node: "n1", Container: "container_1_0001_01_000002", PID: 42,
			Address: "n1:4001", Agent: "n1:4000", Step: 15, Steps: 30, StepRate: 2.5, MemoryBytes: 1 << 20, CPU: 0.5, LogURL: "http://node1:8042/node/containerlogs/container_1_7_01_000002/ann", Started: &at,
			Endpoints: "forward", EndpointsReason: "no library", Peers: []Peer{{Task: "ps/0", Connections: 3, Refused: 1, Resets: 2, Sent: 4096, Received: -1}},
			Mirror: &Mirror{Fetched: &Copied{Checkpoint: "ckpt-11", Step: 11, Bytes: 1024, Seconds: 0.5, At: at}, Uploads: 2, Problem: "no NameNode answers"}}},
		Failure:  &Failure{at, "worker/1 failed: exit code 1. Its last line: ValueError"},
		Counts:   []RestartCount{{"worker", "preempted", 201}},
		Restarts: []Restart{{Task: "worker/1", Cause: "preempted", At: at, Step: 15, ResumedStep: &resumed, LostSteps: 3, Seconds: 1.5, NewContainer: true}},
		Attempt:  2, Takeovers: []time.Time{at},
		Checkpoints: []Checkpoint{{Path: "hdfs:///m/ckpt-12", Format: "bundle", Step: 12, Bytes: 1024, Time: at, Verdict: "whole", By: "chief/0"}},
		Inputs:      []Input{{Name: "text /data/*", Epoch: 2, Epochs: 3, Done: 10, Total: 40, Leased: 4}},
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != document {
		t.Errorf("the document is\n%s\nwant\n%s", b, document)
	}
}

func TestListsAreNeverNull(t *testing.T) {
	b, err := json.Marshal(View{})
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	for key, value := range v {
		if value == nil && key != "finished" && key != "exit_code" && key != "last_failure" {
			t.Errorf("%s is null", key)
		}
	}
	if losses := v["recovery"].(map[string]any)["losses"]; losses == nil {
		t.Error("recovery.losses is null")
	}
}
