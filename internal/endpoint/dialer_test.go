package endpoint_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// wait is how long a client waits for what takes milliseconds.
const wait = 30 * time.Second

// dialer is a client within the test's own process.
type dialer struct{ t *testing.T }

func (d dialer) connect(addr string) (conn, error) {
	c, err := net.DialTimeout("tcp", addr, wait)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, errRefused
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errReset, err)
	}
	d.t.Cleanup(func() { c.Close() })
	return &dialed{c, bufio.NewReader(c)}, nil
}

func (d dialer) many(addr string, n int) (cs []conn) {
	for range n {
		c, err := d.connect(addr)
		if err != nil {
			continue
		}
		if _, err := c.line(); err == nil {
			cs = append(cs, c)
		}
	}
	return cs
}

func (d dialer) storm(addr string, threads, most int) func(string) tally {
	var (
		stop = make(chan struct{})
		wg   sync.WaitGroup
		mu   sync.Mutex
		n    tally
		cs   []conn
	)
	for range threads {
		wg.Go(func() {
			for range most {
				select {
				case <-stop:
					return
				default:
				}
				c, err := d.connect(addr)
				mu.Lock()
				switch {
				case err == nil:
					cs = append(cs, c)
				case errors.Is(err, errRefused):
					n.Refused++
				default:
					n.Reset++
				}
				mu.Unlock()
			}
		})
	}
	return func(name string) tally {
		close(stop)
		wg.Wait()
		for _, c := range cs {
			if n.Wrong > 0 { // enough is known, and each costs the whole wait
				break
			}
			switch got, err := c.line(); {
			case errors.Is(err, os.ErrDeadlineExceeded):
				n.Wrong++
			case err != nil:
				n.Reset++
			case got == name:
				n.Right++
			case c.ended():
				n.Reset++
			default:
				n.Wrong++
			}
		}
		for _, c := range cs {
			c.(*dialed).c.Close()
		}
		return n
	}
}

// dialed is a conn of a dialer.
type dialed struct {
	c net.Conn
	r *bufio.Reader
}

func (d *dialed) line() (string, error) {
	d.c.SetReadDeadline(time.Now().Add(wait))
	s, err := d.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	return s[:len(s)-1], nil
}

func (d *dialed) echo(text string) (string, error) {
	if _, err := fmt.Fprintln(d.c, text); err != nil {
		return "", err
	}
	return d.line()
}

func (d *dialed) ended() bool {
	for {
		if _, err := d.line(); err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}
