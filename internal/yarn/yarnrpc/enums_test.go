package yarnrpc

import (
	"fmt"
	"strings"
	"testing"

	"tfos/internal/enum"
)

// TestEnumsAreComplete: each table has every constant that ours and theirs have, and pairs those of
// one name.
func TestEnumsAreComplete(t *testing.T) {
	complete(t, applicationStates, "")
	complete(t, finalStatuses, "APP_")
	complete(t, attemptStates, "APP_ATTEMPT_")
	complete(t, containerStates, "C_")
	complete(t, nodeStates, "NS_")
	complete(t, visibilities, "")
	complete(t, signals, "")
}

func complete[Ours interface {
	~int
	fmt.Stringer
}, Theirs interface {
	~int32
	fmt.Stringer
}](t *testing.T, e enum.Table[Ours, Theirs], prefix string) {
	t.Helper()
	for i := range 32 {
		ours, theirs := Ours(i), Theirs(i)
		to, is := e.Theirs(ours)
		if known := !strings.HasPrefix(ours.String(), "UNKNOWN"); is != known || is && to.String() != prefix+ours.String() {
			t.Errorf("%T %v is %v", ours, ours, to)
		}
		from, is := e.Ours(theirs)
		if known := theirs.String() != fmt.Sprint(i); is != known || is && *e.ToWire(from) != theirs {
			t.Errorf("%T %v is %v", theirs, theirs, from)
		}
	}
}
