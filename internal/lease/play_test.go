package lease

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"tfos/internal/job"
)

var seeds = flag.Int("seeds", 400, "how many seeded worlds to play")

// subject is a machine, or one with a bug.
type subject interface {
	Call(Call) Answer
	Lose(job.Task, job.Incarnation)
}

// TestEveryRecordOncePerEpoch plays worlds in which processes die, come back as zombies, repeat
// calls, save and restore, and the master restarts; in each epoch the acknowledged spans cover
// every record exactly once.
func TestEveryRecordOncePerEpoch(t *testing.T) {
	for seed := range uint64(*seeds) {
		if err := play(seed, nil); err != nil {
			t.Fatalf("%v\nrepeat with: go test ./internal/lease -run TestEveryRecordOncePerEpoch -seeds %d", err, seed+1)
		}
	}
}

// bugs are machines that are wrong in one way. Each must be caught by a world.
var bugs = map[string]func(m **Machine) subject{
	"a lost process keeps its leases": func(m **Machine) subject {
		return wrapped{m, nil, func(m *Machine, t job.Task, i job.Incarnation) { m.s.Lost[t.String()] = i }}
	},
	"a lost process is listened to": func(m **Machine) subject {
		return wrapped{m, nil, func(m *Machine, t job.Task, i job.Incarnation) {
			m.Lose(t, i)
			delete(m.s.Lost, t.String())
		}}
	},
	"an acknowledgement of another's lease counts": func(m **Machine) subject {
		return wrapped{m, func(m *Machine, c Call) Answer {
			if a, ok := c.Op.(Ack); ok {
				for _, x := range a.Acks {
					if l, ok := m.s.Leases[x.Lease]; ok {
						c.Holder, c.Client = l.Holder, "any"
						c.Number = m.s.Clients[clientKey(c)].Number + 1
					}
				}
			}
			return m.Call(c)
		}, nil}
	},
	"a position is forgotten when a lease is given back": func(m **Machine) subject {
		return wrapped{m, nil, func(m *Machine, t job.Task, i job.Incarnation) {
			for _, l := range m.s.Leases {
				if d := m.s.Datasets[l.Dataset]; l.Holder.Task == t && l.Holder.Incarnation <= i {
					d.State[l.Piece].Position = d.pieces[l.Piece].From
				}
			}
			m.Lose(t, i)
		}}
	},
	"a piece is leased again although it is done": func(m **Machine) subject {
		return after(m, func(m *Machine, c Call, a Answer) {
			if op, ok := c.Op.(Ack); ok && a.State == Agreed && op.Acks[0].End == Done && op.Acks[0].Lease%5 == 0 {
				for _, d := range m.s.Datasets {
					for i, s := range d.State {
						if s.Done {
							d.State[i], d.Left = progress{Position: d.pieces[i].From}, d.Left+1
							d.Free = append(d.Free, i)
							return
						}
					}
				}
			}
		})
	},
	"a repeated call is carried out twice": func(m **Machine) subject {
		return wrapped{m, func(m *Machine, c Call) Answer {
			delete(m.s.Clients, clientKey(c))
			return m.Call(c)
		}, nil}
	},
	"an epoch ends early": func(m **Machine) subject {
		return after(m, func(m *Machine, _ Call, _ Answer) {
			for _, d := range m.s.Datasets {
				if d.Left == 1 {
					d.Left = 0
				}
			}
		})
	},
	"a save is of the moment of its first call": func(m **Machine) subject {
		return wrapped{m, func(m *Machine, c Call) Answer {
			var k *cutting
			if k = m.s.Cut; k != nil && k.Phase == gathering && m.behind(c.Holder) {
				if _, ok := c.Op.(Ack); ok {
					m.s.Cut = nil
					defer func() { m.s.Cut = k }()
				}
			}
			return m.Call(c)
		}, nil}
	},
	"a save is of the moment of its last call": func(m **Machine) subject {
		return after(m, func(m *Machine, _ Call, _ Answer) {
			if k := m.s.Cut; k != nil && k.Phase == pending {
				for key, d := range m.s.Datasets {
					k.Datasets[key] = d.clone()
				}
			}
		})
	},
	"every process that restores goes back": func(m **Machine) subject {
		return wrapped{m, func(m *Machine, c Call) Answer {
			if _, ok := c.Op.(Restore); ok {
				m.s.Round = nil
			}
			return m.Call(c)
		}, nil}
	},
	"going back leaves leases": func(m **Machine) subject {
		return wrapped{m, func(m *Machine, c Call) Answer {
			was := maps.Clone(m.s.Leases)
			a := m.Call(c)
			if _, ok := c.Op.(Restore); ok {
				m.s.Leases = was
			}
			return a
		}, nil}
	},
}

func TestBugsAreCaught(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(bugs)) {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(*seeds) {
				if play(seed, bugs[name]) != nil {
					return
				}
			}
			t.Errorf("not caught by %d worlds", *seeds)
		})
	}
}

type wrapped struct {
	m    **Machine
	call func(*Machine, Call) Answer
	lose func(*Machine, job.Task, job.Incarnation)
}

func (w wrapped) Call(c Call) Answer {
	if w.call == nil {
		return (*w.m).Call(c)
	}
	return w.call(*w.m, c)
}

func (w wrapped) Lose(t job.Task, i job.Incarnation) {
	if w.lose == nil {
		(*w.m).Lose(t, i)
		return
	}
	w.lose(*w.m, t, i)
}

func after(m **Machine, then func(*Machine, Call, Answer)) subject {
	return wrapped{m, func(m *Machine, c Call) Answer {
		a := m.Call(c)
		then(m, c, a)
		return a
	}, nil}
}

// process is a model of a program: it reads records of one byte, and tells how far it is.
type process struct {
	holder   Holder
	numbers  map[string]uint64 // by client
	epoch    int
	lease    *Lease
	read     int64 // where it is in the lease
	restore  bool  // has still to restore
	saving   bool  // has still to say save
	finished bool  // read the last epoch to its end
	lost     bool  // a zombie
	repeat   *Call // whose answer was lost on the way
	answer   Answer
}

// world is some processes, the machine, and what was acknowledged.
type world struct {
	r        *rand.Rand
	def      Definition
	files    []File
	m        *Machine
	s        subject
	alive    []*process
	zombies  []*process
	consumed coverage           // what was acknowledged
	cut      coverage           // the same for the save under way; nil: there is none
	saves    map[int64]coverage // what was acknowledged at each save
	stored   map[int64][]byte   // every save, as on disk
	step     int64              // newest save
	restored int64
	round    map[job.Task]bool // who called the restore that is under way; a second call of one of them begins another
	roundOf  int64
	err      error
}

// coverage counts the acknowledgements of each record, by epoch and file.
type coverage map[int][][]int

func (c coverage) clone() coverage {
	out := make(coverage)
	for e, files := range c {
		for _, f := range files {
			out[e] = append(out[e], slices.Clone(f))
		}
	}
	return out
}

func (c coverage) add(files []File, epoch, file int, from, to int64) {
	if c[epoch] == nil {
		for _, f := range files {
			c[epoch] = append(c[epoch], make([]int, f.Size))
		}
	}
	for i := from; i < to; i++ {
		c[epoch][file][i]++
	}
}

// play is one world from its seed to the end of its last epoch.
func play(seed uint64, bug func(**Machine) subject) error {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{r: r, m: New(), consumed: make(coverage), saves: map[int64]coverage{0: make(coverage)}, stored: map[int64][]byte{}}
	w.s = w.machine(bug)
	w.def = Definition{Name: "d", Patterns: []string{"/d/*"}, Kind: Text, Split: int64(r.IntN(3) * 7), Epochs: 1 + r.IntN(3)}
	if r.IntN(2) == 0 {
		seed := r.Uint64()
		w.def.Shuffle = &seed
	}
	for i := range 1 + r.IntN(8) {
		w.files = append(w.files, File{fmt.Sprintf("/d/%02d", i), int64(r.IntN(40))})
	}
	w.files[0].Size++
	for i := range 1 + r.IntN(4) {
		w.alive = append(w.alive, &process{holder: Holder{job.Task{Role: "worker", Index: i}, 1}, numbers: map[string]uint64{}})
	}
	for range 200 + r.IntN(400) {
		w.turn()
		if w.err != nil {
			return fmt.Errorf("seed %d: %w", seed, w.err)
		}
	}
	for range 20000 { // no more faults: everybody reads to the end
		if !slices.ContainsFunc(w.alive, func(p *process) bool { return !p.finished }) {
			if err := w.audit(w.def.Epochs); err != nil {
				return fmt.Errorf("seed %d: %w", seed, err)
			}
			return nil
		}
		w.work(w.alive[r.IntN(len(w.alive))])
		if w.err != nil {
			return fmt.Errorf("seed %d: %w", seed, w.err)
		}
	}
	return fmt.Errorf("seed %d: the last epoch does not end", seed)
}

func (w *world) machine(bug func(**Machine) subject) subject {
	if bug != nil {
		return bug(&w.m)
	}
	return wrapped{m: &w.m}
}

func (w *world) fail(format string, args ...any) {
	w.err = errors.Join(w.err, fmt.Errorf(format, args...))
}

// turn is something that happens.
func (w *world) turn() {
	p := w.alive[w.r.IntN(len(w.alive))]
	switch n := w.r.IntN(100); {
	case n < 3:
		w.lose(p)
	case n < 4:
		for _, p := range slices.Clone(w.alive) {
			w.lose(p)
		}
		steps := slices.Sorted(maps.Keys(w.saves))
		w.restored = steps[w.r.IntN(len(steps))]
		for _, p := range w.alive {
			p.restore = true
		}
	case n < 7:
		if w.cut == nil && !slices.ContainsFunc(w.alive, func(p *process) bool { return p.saving || p.restore }) {
			w.step++
			for _, p := range w.alive {
				p.saving = true
			}
		}
	case n < 10:
		b, err := w.m.Snapshot()
		if err != nil {
			w.fail("%w", err)
			return
		}
		if w.m, err = FromSnapshot(b, w.m.FilesOf()); err != nil {
			w.fail("%w", err)
		}
	case n < 15 && len(w.zombies) > 0:
		w.work(w.zombies[w.r.IntN(len(w.zombies))])
	default:
		w.work(p)
	}
}

// lose kills a process, which may go on as a zombie, and starts its next incarnation.
func (w *world) lose(p *process) {
	p.lost = true
	if w.cut != nil {
		p.saving = false
	}
	w.zombies = append(w.zombies, p)
	w.s.Lose(p.holder.Task, p.holder.Incarnation)
	if w.cut != nil { // the machine may give the save up; whether it does is seen when it is over
		for _, q := range w.alive {
			q.saving = false
		}
		w.cut = nil
	}
	i := slices.Index(w.alive, p)
	w.alive[i] = &process{holder: Holder{p.holder.Task, p.holder.Incarnation + 1}, numbers: map[string]uint64{}, restore: p.restore, saving: p.saving}
}

// call makes a call, or again one whose answer was lost.
func (w *world) call(p *process, client string, op Op) Answer {
	p.numbers[client]++
	c := Call{p.holder, client, p.numbers[client], op}
	a := w.s.Call(c)
	if a.State == Waiting {
		p.numbers[client]--
	} else if w.r.IntN(6) == 0 {
		p.repeat, p.answer = &c, a
	}
	if p.lost && a.State != Refused {
		w.fail("%s is lost, and is answered %v", p.holder, a)
	}
	return a
}

// work makes a process take its next step.
func (w *world) work(p *process) {
	if c := p.repeat; c != nil {
		p.repeat = nil
		a := w.s.Call(*c)
		if a.State != p.answer.State && !p.lost || a.State == Granted && a.Lease.ID != p.answer.Lease.ID {
			w.fail("%s repeats %+v: answered %+v, then %+v", p.holder, *c, p.answer, a)
		}
		return
	}
	switch {
	case p.restore && !p.lost:
		w.restoreStep(p)
	case p.saving && w.r.IntN(3) == 0 && !p.lost:
		w.saveStep(p)
	case p.lease != nil:
		w.read(p)
	case !p.finished:
		w.next(p)
	case p.saving:
		w.saveStep(p)
	}
}

func (w *world) next(p *process) {
	a := w.call(p, "reader", Next{Dataset: w.def, Epoch: p.epoch})
	for _, d := range w.m.Unlisted() {
		w.m.List(d, w.files, "")
	}
	switch a.State {
	case Granted:
		p.lease, p.read, p.epoch = &a.Lease, a.Lease.Position, a.Epoch
	case Over:
		if err := w.audit(a.Epoch); err != nil {
			w.fail("%s is told that epoch %d is over: %w", p.holder, a.Epoch, err)
		}
		p.epoch = a.Epoch + 1
		p.finished = a.Epoch >= w.def.Epochs
	case Refused:
		if a.Code != Lost || !p.lost {
			w.fail("%s: %s", p.holder, a.Reason)
		}
	}
}

// read consumes some records of the lease and acknowledges them.
func (w *world) read(p *process) {
	l := p.lease
	to := min(p.read+int64(w.r.IntN(12)), l.To)
	end := Open
	if to == l.To {
		end = Done
	} else if w.r.IntN(20) == 0 {
		end = Returned
	}
	if w.r.IntN(8) == 0 { // read, and not acknowledged
		return
	}
	marked := w.cut != nil && !p.saving
	a := w.call(p, "reader", Ack{[]Consumed{{l.ID, to, end}}})
	switch {
	case a.State == Agreed:
		file := slices.IndexFunc(w.files, func(f File) bool { return f.Path == l.Path })
		w.consumed.add(w.files, l.Epoch, file, p.read, to)
		if w.cut != nil && !marked {
			w.cut.add(w.files, l.Epoch, file, p.read, to)
		}
		if p.read = to; end != Open {
			p.lease = nil
		}
	case a.Code == NotHeld && !p.lost:
		p.lease = nil // after going back
		if w.restored < 0 {
			w.fail("%s: %s", p.holder, a.Reason)
		}
	case a.Code != Lost && a.Code != NotHeld:
		w.fail("%s: %s", p.holder, a.Reason)
	}
}

func (w *world) saveStep(p *process) {
	if w.cut == nil {
		w.cut = w.consumed.clone()
	}
	p.saving = false
	a := w.call(p, "saver", Save{Step: w.step})
	if a.State == Waiting {
		p.numbers["saver"]++ // nobody asks again: what comes of it is seen when it is stored
	} else {
		w.cut = nil
		for _, q := range w.alive {
			q.saving = false
		}
	}
	if s, ok := w.m.Storable(); ok {
		b, err := json.Marshal(s)
		if err != nil {
			w.fail("%w", err)
		}
		w.stored[s.Step] = b
		w.m.Stored(s, "")
		if w.cut != nil && s.Step == w.step {
			w.saves[w.step] = w.cut
		}
		for _, q := range w.alive {
			q.saving = false
		}
		w.cut = nil
	} else if k := w.m.s.Cut; k != nil && k.Phase == broken {
		w.cut = nil
		for _, q := range w.alive {
			q.saving = false
		}
	}
}

func (w *world) restoreStep(p *process) {
	a := w.call(p, "saver", Restore{w.restored})
	if step, ok := w.m.Wanted(); ok { // not among those that the machine remembers
		saved, err := ParseSaved(w.stored[step])
		if err != nil {
			w.fail("%w", err)
			return
		}
		w.m.Loaded(step, &saved, "")
		a = w.call(p, "saver", Restore{w.restored})
	}
	if a.State != Agreed {
		w.fail("%s: restore of step %d: %+v", p.holder, w.restored, a)
		return
	}
	p.restore = false
	if w.round == nil || w.roundOf != w.restored || w.round[p.holder.Task] {
		w.round, w.roundOf = map[job.Task]bool{}, w.restored
		w.consumed = w.saves[w.restored].clone()
		w.cut = nil
		for _, q := range w.alive {
			q.saving = false
		}
		maps.DeleteFunc(w.saves, func(step int64, _ coverage) bool { return step > w.restored })
	}
	w.round[p.holder.Task] = true
}

// audit finds a record that was not acknowledged exactly once in an epoch.
func (w *world) audit(epoch int) error {
	for i, f := range w.files {
		for at := range f.Size {
			n := 0
			if w.consumed[epoch] != nil {
				n = w.consumed[epoch][i][at]
			}
			if n != 1 {
				return fmt.Errorf("epoch %d: record %d of %s was consumed %d times", epoch, at, f.Path, n)
			}
		}
	}
	return nil
}
