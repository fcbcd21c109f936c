package writeahead

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestNothingIsToldTooEarly: whatever happens in whatever order, what was promised is told in
// order, once, and not before a write has ended well that began after the promise.
func TestNothingIsToldTooEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Book[int64]
		var turn, under, durable int64
		var owed []int64
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			switch rapid.SampledFrom([]string{"step", "promise", "write", "wrote", "failed", "kept"}).Draw(t, "event") {
			case "step":
				if turn++; b.Step() != turn {
					t.Fatal("a step is counted wrongly")
				}
			case "promise":
				b.Promise(turn)
				owed = append(owed, turn)
			case "write":
				if due := under == 0 && turn > durable; b.Due() != due {
					t.Fatalf("due: %v, with step %d, %d being written and %d safe", b.Due(), turn, under, durable)
				}
				if b.Due() {
					b.Write()
					under = turn
				}
			case "wrote":
				if under != 0 {
					b.Wrote(nil)
					durable, under = under, 0
				}
			case "failed":
				if under != 0 {
					b.Wrote(errors.New("safe mode"))
					under = 0
				}
			case "kept":
				n := 0
				for n < len(owed) && owed[n] <= durable {
					n++
				}
				if got := b.Kept(false); !slices.Equal(got, owed[:n]) {
					t.Fatalf("told: %v, with %d safe and %v owed", got, durable, owed)
				}
				owed = owed[n:]
			}
		}
		if got := b.Kept(true); !slices.Equal(got, owed) {
			t.Fatalf("in the end told: %v, and owed were %v", got, owed)
		}
	})
}

// TestNewsOfAJournal: a person hears of what is wrong once, now and then again, and of its end.
func TestNewsOfAJournal(t *testing.T) {
	var b Book[func()]
	var heard []int
	for i := range 122 {
		b.Step()
		b.Write()
		if b.Wrote(errors.New("safe mode")) {
			heard = append(heard, i)
		}
	}
	b.Write()
	if ended := b.Wrote(nil); fmt.Sprint(heard, ended, b.Failures()) != "[0 60 120] true 0" {
		t.Errorf("heard of failures %v; of the end: %v; %d left", heard, ended, b.Failures())
	}
	b.Step()
	if b.Write(); b.Wrote(nil) {
		t.Error("a journal that is written is news")
	}
}
