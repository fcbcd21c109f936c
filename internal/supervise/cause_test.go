package supervise

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOOMFiles(t *testing.T) {
	for text, want := range map[string][]string{
		"0::/system.slice/hadoop\n": {"/sys/fs/cgroup/system.slice/hadoop/memory.events"},
		"0::/\n":                    {"/sys/fs/cgroup/memory.events"},
		"9:cpu,memory:/yarn/container_1\n1:name=systemd:/x\n0::/\n": {"/sys/fs/cgroup/memory/yarn/container_1/memory.oom_control", "/sys/fs/cgroup/memory.events"},
		"garbage\n": nil,
		"":          nil,
	} {
		if diff := cmp.Diff(want, oomFiles(text)); diff != "" {
			t.Errorf("oomFiles(%q) (-want +got):\n%s", text, diff)
		}
	}
}

func TestCounter(t *testing.T) {
	for text, want := range map[string]int64{
		"low 0\nmax 3\noom 2\noom_kill 7\noom_group_kill 1\n": 7,
		"oom_kill_disable 0\nunder_oom 0\noom_kill 4\n":       4,
		"oom_kill_disable 0\nunder_oom 0\n":                   0, // before Linux 4.13
		"oom_kill x\n":                                        0,
		"":                                                    0,
	} {
		if got := counter(text, "oom_kill"); got != want {
			t.Errorf("counter(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestSplitTail(t *testing.T) {
	for _, c := range []struct {
		text string
		amid bool
		want []string
	}{
		{"", false, nil},
		{"a\nb\n", false, []string{"a", "b"}},
		{"half a line\nwhole\n", true, []string{"whole"}},
		{"no end", false, []string{"no end"}},
		{"a\n\n \nb\r\n", false, []string{"a", "b"}},
		{"1/3 [=>   ]\r2/3 [==>  ]\r3/3 [=====]\n", false, []string{"3/3 [=====]"}},
	} {
		if diff := cmp.Diff(c.want, splitTail(c.text, c.amid)); diff != "" {
			t.Errorf("splitTail(%q, %v) (-want +got):\n%s", c.text, c.amid, diff)
		}
	}
	long := splitTail(string(make([]byte, 2000)), false)
	if len(long) != 1 || len(long[0]) > tailLineBytes+len("…") {
		t.Errorf("a long line: %d lines of %d bytes", len(long), len(long[0]))
	}
}
