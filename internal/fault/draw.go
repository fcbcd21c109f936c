package fault

import (
	"math/rand/v2"
	"time"

	"tfos/internal/job"
)

// Longest is how long a drawn fault lasts at most: long enough for whatever is cut off to be given
// up.
const Longest = 25 * time.Second

// Draw is a plan of n faults of some kinds for a job, the same for the same seed. The first comes
// at the given step, each other one a half to one and a half gaps after the one before it.
func Draw(seed uint64, n int, step int64, gap time.Duration, j job.Job, of []Kind) Plan {
	rng := rand.New(rand.NewPCG(seed, 0))
	tasks := j.Tasks()
	p := make(Plan, n)
	for i := range p {
		f := Fault{Line: i + 1, Kind: of[rng.IntN(len(of))], After: gap/2 + upTo(rng, gap)}
		if i == 0 {
			f.Step, f.After = step, 0
		}
		if kinds[f.Kind].task {
			f.Task = tasks[rng.IntN(len(tasks))]
		}
		if kinds[f.Kind].span {
			f.For = time.Second + upTo(rng, Longest-time.Second)
		}
		p[i] = f
	}
	return p
}

func upTo(rng *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(d))).Truncate(time.Millisecond)
}
