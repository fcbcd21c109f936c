package exit

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	refused := Errorf(Refused, "queue %q: %w", "ml", fs.ErrPermission).Try("ask for it")
	for _, c := range []struct {
		err  error
		want Code
	}{
		{nil, OK},
		{refused, Refused},
		{fmt.Errorf("submit: %w", refused), Refused},
		{fs.ErrNotExist, Infrastructure},
	} {
		if got := Of(c.err); got != c.want {
			t.Errorf("Of(%v) = %d, want %d", c.err, got, c.want)
		}
	}
	if got, want := refused.Error(), "queue \"ml\": permission denied\n  ask for it"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestTableNamesEveryCode(t *testing.T) {
	for _, c := range []Code{OK, JobFailed, Usage, Refused, Infrastructure, Killed, TimedOut, Interrupted} {
		if !strings.Contains(Table, fmt.Sprintf("\n  %-5d", c)) {
			t.Errorf("the table does not explain %d", c)
		}
	}
}
