package listen_test

import (
	"context"
	"io"
	"net"
	"testing"

	"go.uber.org/zap"

	"tfos/internal/listen"
	"tfos/internal/memnet"
)

func TestACloserEndsAllThatItServes(t *testing.T) {
	host := memnet.New().Host("here")
	l, err := host.Listen(1)
	if err != nil {
		t.Fatal(err)
	}
	c := listen.NewCloser(l, zap.NewNop())
	served, ended := make(chan struct{}, 2), make(chan error, 1)
	go func() {
		ended <- c.Run(func(conn net.Conn) {
			io.Copy(conn, conn) // until it is closed
			served <- struct{}{}
		})
	}()
	dial := func() net.Conn {
		conn, err := host.Dial(context.Background(), "here:1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first := dial()
	first.Close()
	<-served // one that leaves is not waited for
	second := dial()
	c.Close()
	c.Close() // once more does no harm
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(served) != 1 {
		t.Error("Run returned before the last connection was served to its end")
	}
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives it")
	}
	if _, err := host.Dial(context.Background(), "here:1"); err == nil {
		t.Error("it still listens")
	}
}
