package control_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"tfos/internal/control"
)

// TestDebug shows pages of a master and of an agent to a client.
func TestDebug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := w.issue(control.Subject{Party: control.PartyClient})
		dial := w.net.Host("laptop").Dial
		master, err := control.DialMaster(w.where(), key, dial)
		if err != nil {
			t.Fatal(err)
		}
		defer master.Close()
		agent, err := control.DialAgent(w.serveLogs(new(logSource)), key, dial)
		if err != nil {
			t.Fatal(err)
		}
		defer agent.Close()
		for name, show := range map[string]func(context.Context, string, io.Writer) error{"master": master.Debug, "agent": agent.Debug} {
			for page, want := range map[string]string{"": "goroutines", "goroutines": "control.showPage", "big": strings.Repeat("x", 200<<10)} {
				var out strings.Builder
				if err := show(t.Context(), page, &out); err != nil || !strings.Contains(out.String(), want) {
					t.Errorf("%s, page %q: %v\n%.200s", name, page, err, out.String())
				}
			}
			if err := show(t.Context(), "secrets", io.Discard); !errors.Is(err, control.ErrNoPage) {
				t.Errorf("%s, a page that there is not: %v", name, err)
			}
		}
	})
}

// big is a page of several chunks.
var big = control.Page{Name: "big", Says: "a page of a test", Write: func(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, strings.Repeat("x", 200<<10))
	return err
}}
