package yarn

import (
	"strings"
	"testing"
	"time"
)

func TestExitStatusMeaning(t *testing.T) {
	for _, c := range []struct {
		status         ExitStatus
		text           string
		infrastructure bool
	}{
		{0, "success", false},
		{3, "exit code 3", false},
		{137, "killed by SIGKILL (137)", false},
		{143, "killed by SIGTERM (143)", false},
		{139, "killed by SIGSEGV (139)", false},
		{145, "killed by signal 17 (145)", false},
		{154, "killed by signal 26 (154)", false},
		{128, "exit code 128", false},
		{255, "exit code 255", false},
		{ExitInvalid, "no exit status known, the container did not get as far as its command (-1000)", true},
		{ExitAborted, "lost with its node, or released (-100)", true},
		{ExitDisksFailed, "the node's disks failed (-101)", true},
		{ExitPreempted, "preempted (-102)", true},
		{ExitVMemExceeded, "over its limit of virtual memory (-103)", false},
		{ExitPMemExceeded, "over its limit of memory (-104)", false},
		{ExitKilledByAM, "stopped by the application (-105)", false},
		{ExitKilledByRM, "killed by the ResourceManager (-106)", true},
		{ExitKilledAfterApp, "killed because the application ended (-107)", false},
		{ExitKilledByNM, "killed by the NodeManager to make room (-108)", true},
		{ExitKilledExcessLogs, "killed for writing too many logs (-109)", false},
		{ExitLaunchFailed, "the NodeManager could not launch it (-1)", true},
		{-2000, "exit code -2000", false},
	} {
		if is := c.status.Infrastructure(); is != c.infrastructure || c.status.String() != c.text {
			t.Errorf("%d: %q, infrastructure: %v; want %q, %v", int(c.status), c.status, is, c.text, c.infrastructure)
		}
	}
}

func TestStateNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{StateNewSaving.String(), "NEW_SAVING"}, {StateKilled.String(), "KILLED"}, {ApplicationState(0).String(), "UNKNOWN(0)"},
		{FinalUndefined.String(), "UNDEFINED"}, {FinalEnded.String(), "ENDED"}, {FinalStatus(-1).String(), "UNKNOWN(-1)"},
		{AttemptNew.String(), "NEW"}, {AttemptKilled.String(), "KILLED"},
		{ContainerComplete.String(), "COMPLETE"}, {NodeShutdown.String(), "SHUTDOWN"}, {NodeState(99).String(), "UNKNOWN(99)"},
		{Application.String(), "APPLICATION"}, {SignalForceful.String(), "FORCEFUL_SHUTDOWN"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

func TestSubmissionValidate(t *testing.T) {
	valid := func() *Submission {
		return &Submission{
			ID: ApplicationID{1, 1}, Name: "digits", Queue: "default", Type: "TFOS", Tags: []string{"tfos", "digits nightly"},
			Resource: Resource{MemoryMiB: 256, VCores: 1}, Lifetime: time.Hour,
			Launch: LaunchContext{
				Files:   map[string]LocalResource{"am": {URI: "hdfs://nn:8020/am", ModTime: time.UnixMilli(1), Visibility: Private}},
				Env:     map[string]string{"A_1": "x"},
				Command: []string{"./am", "1><LOG_DIR>/stdout"},
			},
		}
	}
	if err := valid().Validate(); err != nil {
		t.Fatalf("a good submission: %v", err)
	}
	for want, spoil := range map[string]func(*Submission){
		"no application id":               func(s *Submission) { s.ID = ApplicationID{} },
		"not 0 MiB, 1 vcore":              func(s *Submission) { s.Resource.MemoryMiB = 0 },
		"at least one vcore":              func(s *Submission) { s.Resource.VCores = 0 },
		"-1 attempts":                     func(s *Submission) { s.MaxAttempts = -1 },
		"attempt window -1s is negative":  func(s *Submission) { s.AttemptWindow = -time.Second },
		"lifetime 1.5s":                   func(s *Submission) { s.Lifetime = 1500 * time.Millisecond },
		"11 tags":                         func(s *Submission) { s.Tags = make([]string, 11) },
		`tag "größe"`:                     func(s *Submission) { s.Tags[0] = "größe" },
		"1 to 100 printable ASCII":        func(s *Submission) { s.Tags[0] = strings.Repeat("x", 101) },
		"no command":                      func(s *Submission) { s.Launch.Command = []string{" "} },
		"YARN's word is <LOG_DIR>":        func(s *Submission) { s.Launch.Command = []string{"x 1>{{LOG_DIR}}/stdout"} },
		`file "../am": its name must lie`: func(s *Submission) { s.Launch.Files["../am"] = s.Launch.Files["am"] },
		`"/am" has no scheme`: func(s *Submission) {
			s.Launch.Files["am"] = LocalResource{URI: "/am", ModTime: time.UnixMilli(1), Visibility: Private}
		},
		"no visibility":               func(s *Submission) { s.Launch.Files["am"] = LocalResource{URI: "file:/am", ModTime: time.UnixMilli(1)} },
		"no modification time":        func(s *Submission) { s.Launch.Files["am"] = LocalResource{URI: "file:/am", Visibility: Private} },
		`variable "1A"`:               func(s *Submission) { s.Launch.Env["1A"] = "" },
		`variable "A-B"`:              func(s *Submission) { s.Launch.Env["A-B"] = "" },
		"its value holds a zero byte": func(s *Submission) { s.Launch.Env["A"] = "x\x00" },
	} {
		s := valid()
		spoil(s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, have %v", want, err)
		}
	}
}
