package step

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
)

func TestLine(t *testing.T) {
	none := Progress{}
	for line, want := range map[string]Progress{
		"step 120/1000":                  {120, 1000},
		"Step: 120":                      {120, 0},
		"global_step = 120":              {120, 0},
		"global step 120 of 500, fine":   {120, 500},
		"worker 0: step=7 loss=0.25":     {7, 0},
		"training step #42":              {42, 0},
		"Saving checkpoint at step 100.": {100, 0},
		"INFO:tensorflow:loss = 0.5, step = 300 (0.512 sec)":                       {300, 0},
		"I1122 10:00:00 train.py:81] step 9: loss 1.5":                             {9, 0},
		"120/1000 [==>...........................] - ETA: 3s - loss: 0.5":          {120, 1000},
		"1000/1000 - 2s - loss: 0.31 - 2s/epoch - 2ms/step":                        {1000, 1000},
		"\x1b[1m17/45\x1b[0m \x1b[32m━━━━━━\x1b[0m\x1b[37m━━━━\x1b[0m 0s 3ms/step": {17, 45},
		"Epoch 3/10":                         {3, 10},
		"epoch [3/10] loss: 0.1":             {3, 10},
		"Epoch 3/10, step 20/50, loss 0.1":   {120, 500},
		"":                                   none,
		"no number":                          none,
		"global_step/sec: 120.5":             none,
		"steps_per_epoch=100":                none,
		"steps: 1000":                        none,
		"took 12ms/step - loss: 3":           none,
		"step 0.5":                           none,
		"step 12ms":                          none,
		"time step: 99999999999999999999999": none,
		"timestep 5":                         none,
		"step 30/20":                         none,
		"downloaded 3/10 files":              none,
		"2026/11/22 [main] hello":            none,
		"epoch 3":                            none,
	} {
		got, ok := new(Tracker).Line(line)
		if got != want && ok || ok != (want != none) {
			t.Errorf("%q: %v, %v; want %v", line, got, ok, want)
		}
	}
}

func TestTrackerCountsOverEpochs(t *testing.T) {
	var tr Tracker
	for _, c := range []struct {
		line string
		want Progress
		ok   bool
	}{
		{"Epoch 1/2", Progress{1, 2}, true},
		{"1/50 [>....]", Progress{1, 100}, true},
		{"50/50 [====]", Progress{50, 100}, true},
		{"Epoch 2/2", Progress{}, false}, // the bars say it better
		{"7/50 [=>...]", Progress{57, 100}, true},
		{"step 60", Progress{60, 0}, true},
		{"8/50 [=>...]", Progress{}, false}, // and steps better still
	} {
		got, ok := tr.Line(c.line)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %v, %v; want %v, %v", c.line, got, ok, c.want, c.ok)
		}
	}
}

// TestCounted: only a long row of rising steps shows that a program counts its training.
func TestCounted(t *testing.T) {
	rising := func(format string, from, to int) (lines []string) {
		for i := from; i <= to; i++ {
			lines = append(lines, fmt.Sprintf(format, i))
		}
		return lines
	}
	join := func(parts ...[]string) []string { return slices.Concat(parts...) }
	for name, c := range map[string]struct {
		lines []string
		want  int64
	}{
		"phases":                      {[]string{"Step 1/3: download", "Step 2/3: unpack", "Step 3/3: train"}, 0},
		"phases without a number":     {[]string{"Step 1: download", "Step 2: unpack", "Step 3: train"}, 0},
		"the same step":               {slices.Repeat([]string{"Step 7: train"}, 50), 0},
		"a training":                  {rising("step %d loss 0.5", 100, 150), 150},
		"a training that goes on":     {rising("step %d/1000", 100, 150), 150},
		"words after it":              {join(rising("step %d", 1, 50), []string{"Step 1/2: export"}), 50},
		"phases before it":            {join(rising("Step %d/3: prepare", 1, 3), rising("step %d loss 0.5", 1, 50)), 50},
		"a preparation that is over":  {join(rising("step %d/40: prepare", 1, 40), []string{"iter 3"}), 0},
		"a count for each fit":        {join(rising("step %d/40", 1, 40), rising("step %d/40", 1, 20)), 0},
		"a count for each epoch":      {join(rising("step %d", 1, 40), rising("step %d", 1, 20)), 20},
		"epochs, then something else": {join(rising("Epoch %d/100", 1, 20), rising("step %d", 1, 3)), 0},
	} {
		var tr Tracker
		for _, line := range c.lines {
			tr.Line(line)
		}
		if got := tr.Counted(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"step 120/1000", "120/1000 [==", "Epoch 3/10", "\x1b[1m1/2\x1b[0m ━", "step \xff 3", "global_step = 9999999999"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var tr Tracker
		for _, line := range []string{a, b} {
			p, ok := tr.Line(line)
			if ok && (p.Step < 0 || p.Steps < 0 || p.Steps > 0 && p.Step > p.Steps && tr.epoch <= tr.epochs) {
				t.Errorf("%q: %+v", line, p)
			}
		}
	})
}

func TestLoss(t *testing.T) {
	for line, want := range map[string]string{
		"step 120 loss: 0.31":                           "0.31",
		"120/1000 - 2s - loss: 3.1e-02 - val_loss: 0.9": "0.031",
		"INFO:tensorflow:loss = 12.5, step = 100":       "12.5",
		"Loss=-4":                      "-4",
		"epoch 3, loss: 7":             "7",
		"val_loss: 0.9":                "",
		"loss of node 7":               "",
		"loss: nan":                    "",
		"loss: 1e999":                  "",
		"\x1b[1mloss\x1b[0m: 0.5 at 3": "0.5",
	} {
		var tr Tracker
		tr.Line(line)
		got := ""
		if loss, ok := tr.Loss(); ok {
			got = strconv.FormatFloat(loss, 'f', -1, 64)
		}
		if got != want {
			t.Errorf("%q: loss %q, want %q", line, got, want)
		}
	}
}
