package control_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/lease"
)

// Lease answers with a lease on whatever it was asked, and refuses what is odd.
func (w *world) Lease(ctx context.Context, c lease.Call) (lease.Answer, error) {
	w.say("lease %s %s %d %+v", c.Holder, c.Client, c.Number, c.Op)
	switch op := c.Op.(type) {
	case lease.Next:
		if op.Epoch == 9 {
			<-ctx.Done()
			return lease.Answer{}, ctx.Err()
		}
		return lease.Answer{State: lease.Granted, Epoch: 2, Lease: lease.Lease{ID: 7, Epoch: 2, Piece: 3, Path: "/a", Size: 100, From: 10, To: 20, Position: 15}}, nil
	case nil:
		return lease.Answer{State: lease.Refused, Code: lease.Invalid, Reason: "nothing"}, nil
	}
	return lease.Answer{State: lease.Agreed}, nil
}

func TestCallsForLeasesReachTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		synctest.Wait()
		w.heard()
		seed := uint64(5)
		ops := []lease.Op{
			lease.Next{Dataset: lease.Definition{Name: "d", Patterns: []string{"/*", "/b"}, Kind: lease.Text, Split: 9, Epochs: 3, Shuffle: &seed}, Epoch: 2},
			lease.Ack{Acks: []lease.Consumed{{Lease: 7, Position: 18}, {Lease: 8, Position: 3, End: lease.Returned}, {Lease: 9, End: lease.Done}}},
			lease.Save{Step: 40, Alone: true},
			lease.Restore{Step: 40},
		}
		states := []lease.State{lease.Granted, lease.Agreed, lease.Agreed, lease.Agreed}
		for i, op := range ops {
			// The task is the certificate's, whatever the call says.
			call := lease.Call{Holder: lease.Holder{Task: job.Task{Role: "chief"}, Incarnation: 4}, Client: "c", Number: uint64(i + 1), Op: op}
			got, err := a.link.Lease(t.Context(), call)
			if err != nil {
				t.Fatal(err)
			}
			if got.State != states[i] {
				t.Errorf("%+v: answered %+v", op, got)
			}
			if want := (lease.Lease{ID: 7, Epoch: 2, Piece: 3, Path: "/a", Size: 100, From: 10, To: 20, Position: 15}); i == 0 && got.Lease != want {
				t.Errorf("lease %+v, want %+v", got.Lease, want)
			}
			said := w.heard()
			if n, ok := op.(lease.Next); ok { // the seed is a pointer
				if len(said) != 1 {
					t.Errorf("the master heard %q of %+v", said, n)
				}
				continue
			}
			if diff := cmp.Diff([]string{fmt.Sprintf("lease worker/0 (incarnation 4) c %d %+v", i+1, op)}, said); diff != "" {
				t.Errorf("the master heard (-want +got):\n%s", diff)
			}
		}
		if got, err := a.link.Lease(t.Context(), lease.Call{Number: 9}); err != nil || got.Reason != "nothing" {
			t.Errorf("a call that asks for nothing: %+v, %v", got, err)
		}
		a.end()
	})
}

func TestACallForALeaseWaitsForAMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		synctest.Wait()
		w.net.Cut("am")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		began := time.Now()
		time.AfterFunc(time.Minute, func() { w.net.Heal("am") })
		got, err := a.link.Lease(ctx, lease.Call{Number: 1, Op: lease.Save{Step: 1}})
		if err != nil || got.State != lease.Agreed || time.Since(began) < time.Minute {
			t.Errorf("after %v: %+v, %v", time.Since(began), got, err)
		}
		a.end()
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := a.link.Lease(ctx, lease.Call{Number: 2, Op: lease.Save{Step: 1}}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, control.ErrUnreachable) {
			t.Errorf("without a master: %v", err)
		}
	})
}

// TestAHeldCallDoesNotHoldUpTheEnd: a master that ends does not wait for calls that have nothing to
// be told.
func TestAHeldCallDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		answered := make(chan error, 1)
		go func() {
			_, err := a.link.Lease(ctx, lease.Call{Number: 1, Op: lease.Next{Dataset: lease.Definition{Name: "d"}, Epoch: 9}})
			answered <- err
		}()
		synctest.Wait()
		began := time.Now()
		w.master.Close()
		if took := time.Since(began); took >= time.Second {
			t.Errorf("the master's end took %v", took)
		}
		if err := <-answered; err == nil {
			t.Error("the call was answered by a master that is gone")
		}
		a.end()
	})
}
