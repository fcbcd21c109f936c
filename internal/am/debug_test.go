package am

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/control"
	"tfos/internal/membership"
)

// TestDebugPages looks inside a master whose job runs.
func TestDebugPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		pages := make(map[string]*bytes.Buffer)
		w.agents.Go(func() {
			time.Sleep(30 * time.Second) // of the bubble's time
			key, err := w.authority.Issue(control.Subject{Party: control.PartyClient})
			if err != nil {
				t.Error(err)
				return
			}
			address, err := w.master(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			c, err := control.DialMaster(address, key, w.net.Host("laptop").Dial)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for _, page := range []string{"", "state", "events", "goroutines"} {
				pages[page] = new(bytes.Buffer)
				if err := c.Debug(t.Context(), page, pages[page]); err != nil {
					t.Errorf("page %q: %v", page, err)
				}
			}
		})
		w.succeeded(t, digits)
		for _, name := range []string{"state", "events", "goroutines", "heap", "profile"} {
			if !strings.Contains(pages[""].String(), name) {
				t.Errorf("the list of pages does not name %s:\n%s", name, pages[""])
			}
		}
		if _, err := membership.Restore(json.RawMessage(pages["state"].Bytes())); err != nil {
			t.Errorf("state: %v", err)
		}
		if _, turns, err := membership.ReadLog(pages["events"].Bytes()); err != nil || len(turns) < 12 {
			t.Errorf("%d events: %v", len(turns), err)
		}
		if !strings.Contains(pages["goroutines"].String(), "am.(*owner).run") {
			t.Errorf("goroutines: %.500s", pages["goroutines"])
		}
	})
}
