package control_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"tfos/internal/control"
	"tfos/internal/memnet"
)

// TestAGateIsForItsPartiesAlone: a feeder gets an answer. One of another party, of another job, or
// without a word gets none, and does not hold up others.
func TestAGateIsForItsPartiesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, other := authority(t), authority(t)
		network := memnet.New()
		l, err := network.Host("driver").Listen(1)
		if err != nil {
			t.Fatal(err)
		}
		driver, err := ours.Issue(control.Subject{Party: control.PartyDriver})
		if err != nil {
			t.Fatal(err)
		}
		g, err := control.NewGate(l, driver, zaptest.NewLogger(t), control.PartyFeeder)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- g.Run(func(c net.Conn) { c.Write([]byte("hello")) }) }() // who is gone needs no hello
		dial := func() net.Conn {
			c, err := network.Host("executor").Dial(context.Background(), "driver:1")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		silent := dial()
		answer := func(a *control.Authority, p control.Party) string {
			id, err := a.Issue(control.Subject{Party: p})
			if err != nil {
				t.Fatal(err)
			}
			config, err := id.ClientConfig(control.PartyDriver)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(tls.Client(dial(), config)) // an error is as good as no answer
			return string(b)
		}
		if a := answer(ours, control.PartyFeeder); a != "hello" {
			t.Errorf("a feeder hears %q", a)
		}
		for name, a := range map[string]string{"a client": answer(ours, control.PartyClient), "a feeder of another job": answer(other, control.PartyFeeder)} {
			if a != "" {
				t.Errorf("%s hears %q", name, a)
			}
		}
		began := time.Now()
		if b, _ := io.ReadAll(silent); len(b) > 0 || time.Since(began) > time.Minute {
			t.Errorf("who says nothing hears %q, after %v", b, time.Since(began))
		}
		g.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func authority(t *testing.T) *control.Authority {
	t.Helper()
	a, err := control.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}
