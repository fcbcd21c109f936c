package yarn

import "testing"

func TestContainerIDText(t *testing.T) {
	app := ApplicationID{ClusterTimestamp: 1410901177871, Sequence: 1}
	for _, c := range []struct {
		id   ContainerID
		text string
	}{
		{ContainerID{AttemptID{app, 1}, 5}, "container_1410901177871_0001_01_000005"},
		{ContainerID{AttemptID{app, 1}, 17<<40 | 5}, "container_e17_1410901177871_0001_01_000005"},
		{ContainerID{AttemptID{app, 1}, 3<<40 | 5}, "container_e03_1410901177871_0001_01_000005"},
		{ContainerID{AttemptID{app, 1}, 12345<<40 | 5}, "container_e12345_1410901177871_0001_01_000005"},
		{ContainerID{AttemptID{ApplicationID{1, 123456}, 123}, 12345678}, "container_1_123456_123_12345678"},
		{ContainerID{AttemptID{app, 1}, 1<<63 - 1}, "container_e8388607_1410901177871_0001_01_1099511627775"},
	} {
		if got := c.id.String(); got != c.text {
			t.Errorf("String: %s, want %s", got, c.text)
		}
		if got, err := ParseContainerID(c.text); err != nil || got != c.id {
			t.Errorf("Parse %s: %v, %v, want %v", c.text, got, err, c.id)
		}
	}
}

func TestApplicationAndAttemptText(t *testing.T) {
	app := ApplicationID{ClusterTimestamp: 1410901177871, Sequence: 42}
	if got, want := app.String(), "application_1410901177871_0042"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := (AttemptID{app, 2}).String(), "appattempt_1410901177871_0042_000002"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if id, err := ParseApplicationID("application_1410901177871_0042"); err != nil || id != app {
		t.Errorf("%v, %v", id, err)
	}
}

func TestIDsThatAreNone(t *testing.T) {
	for _, s := range []string{"", "application", "application_1", "application__1", "application_1_", "application_1_2_3",
		"application_-1_2", "application_1_+2", "application_1_2147483648", "application_9223372036854775808_1",
		"job_1_2", " application_1_2", "application_1_2 ", "application_1_２"} {
		if id, err := ParseApplicationID(s); err == nil {
			t.Errorf("%q read as %v", s, id)
		}
	}
	for _, s := range []string{"container_1_2_3", "container_e_1_2_3_4", "container_e1", "container_e8388608_1_2_3_4",
		"container_1_2_3_1099511627776", "containere17_1_2_3_4", "container_17e_1_2_3_4"} {
		if id, err := ParseContainerID(s); err == nil {
			t.Errorf("%q read as %v", s, id)
		}
	}
	for _, s := range []string{"", "host", ":1", "host:", "host:x", "host:-1", "host:65536"} {
		if id, err := ParseNodeID(s); err == nil {
			t.Errorf("%q read as %v", s, id)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"application_1410901177871_0001", "appattempt_1410901177871_0001_000001",
		"container_e17_1410901177871_0001_01_000005", "container_1_2_3_4", "host:45454", "container_e_1_2_3_4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		again(t, s, ParseApplicationID)
		again(t, s, ParseContainerID)
		again(t, s, ParseNodeID)
	})
}

// again checks that what was read, once written, reads the same.
func again[ID interface {
	comparable
	String() string
}](t *testing.T, s string, parse func(string) (ID, error)) {
	id, err := parse(s)
	if err != nil {
		return
	}
	if back, err := parse(id.String()); err != nil || back != id {
		t.Errorf("%q read as %s, which reads as %s (%v)", s, id, back, err)
	}
}
