package job

import (
	"time"

	"pgregory.net/rapid"
)

// anyJob draws a job that Parse could have returned.
func anyJob(t *rapid.T) Job {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab 1'\":#{}\n\t-&*!|>%@é\u2028=~$\\")), 1, 12, -1).Filter(func(s string) bool { return checkCommand(s) == nil })
	label := rapid.SampledFrom([]string{"", "gpu", "fast"})
	env := rapid.MapOfN(rapid.StringMatching(`[A-SU-Z][A-Z0-9_]{0,5}`), text, 0, 3)
	j := Job{
		Name:       rapid.SampledFrom([]string{"digits", "1", "null", "true", "a b: c", "~"}).Draw(t, "name"),
		Command:    text.Draw(t, "command"),
		Queue:      rapid.SampledFrom([]string{"default", "ml", "root.a.b", "0x1"}).Draw(t, "queue"),
		Env:        orNil(env.Draw(t, "env")),
		Checkpoint: Checkpoint{rapid.SampledFrom([]string{"", "/m", "hdfs:///m", "file:///m"}).Draw(t, "dir"), rapid.IntRange(0, 5).Draw(t, "keep"), durations(0).Draw(t, "keep-every"), false},
		Strategy:   rapid.SampledFrom([]Strategy{StrategyMirrored, StrategyV1, StrategyNone}).Draw(t, "strategy"),
		Endpoints:  rapid.SampledFrom([]Endpoints{EndpointsRedirect, EndpointsForward, EndpointsDirect}).Draw(t, "endpoints"),
		Success:    SuccessAll,
		Recovery:   Recovery{rapid.IntRange(0, 9).Draw(t, "failures"), durations(time.Second).Draw(t, "window"), rapid.IntRange(0, 3).Draw(t, "resubmit")},
		Gang:       Gang{durations(time.Second).Draw(t, "timeout")},
		Stop:       Stop{durations(0).Draw(t, "grace")},
		Logs:       Logs{rapid.Int64Range(1, 1<<20).Draw(t, "log limit"), rapid.IntRange(1, MaxLogKeep).Draw(t, "log keep")},
		Stall:      Stall{rapid.IntRange(0, 100).Draw(t, "stall"), durations(0).Draw(t, "least"), rapid.Bool().Draw(t, "again")},
		Deadline:   rapid.SampledFrom([]Deadline{{}, {"06:00", ""}, {"23:59", "Europe/Berlin"}}).Draw(t, "deadline"),
		Notify: rapid.SampledFrom([][]Target{nil, {
			{Name: "ops", Webhook: "https://hooks.example/x?y=z", Format: FormatSlack, On: []Event{EventFailure}},
			{Name: "me", Format: FormatJSON, Command: "mail 'a: b' # c", On: append([]Event{}, defaultEvents...)},
		}}).Draw(t, "notify"),
		Notice:    Notice{rapid.SampledFrom([]string{NoSignal, "SIGUSR1"}).Draw(t, "signal"), durations(0).Draw(t, "wait")},
		Priority:  rapid.Int32Range(0, 9).Draw(t, "priority"),
		Tags:      rapid.SampledFrom([][]string{nil, {"a"}, {"1", "b: c", "- d"}}).Draw(t, "tags"),
		Lifetime:  durations(0).Draw(t, "lifetime"),
		Attended:  durations(0).Draw(t, "attended"),
		Once:      rapid.SampledFrom([]string{"", "nightly-{date}", "{name} {hour}", "a: b#c"}).Draw(t, "once"),
		Timeout:   durations(0).Draw(t, "timeout"),
		Retries:   rapid.IntRange(0, 5).Draw(t, "retries"),
		Master:    Resources{MemoryMiB: rapid.Int64Range(1, maxMiB).Draw(t, "master"), VCores: 1},
		NodeLabel: label.Draw(t, "label"),
	}
	for i, name := range []string{"train.py", "a b", "é#x"} {
		if rapid.Bool().Draw(t, "file") {
			j.Files = append(j.Files, File{"lib/" + name, string(rune('a' + i))})
		}
		if rapid.Bool().Draw(t, "archive") {
			j.Archives = append(j.Archives, File{"hdfs:///" + name, string(rune('k' + i))})
		}
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{Chief, ParameterServer, Evaluator, "null", "y"}), 0, 4, rapid.ID).Draw(t, "roles") {
		r := Role{
			Name:      name,
			Instances: 1,
			Resources: Resources{MemoryMiB: rapid.Int64Range(1, 1<<20).Draw(t, "memory"), VCores: 2, GPUs: rapid.Int64Range(0, 2).Draw(t, "gpus")},
			Command:   rapid.OneOf(rapid.Just(j.Command), text).Draw(t, "command"),
			Env:       orNil(env.Draw(t, "env")),
			Service:   rapid.Bool().Draw(t, "service"),
			NodeLabel: label.Draw(t, "label"),
		}
		if r.Service && rapid.Bool().Draw(t, "builtin") {
			r.Builtin, r.Command = BuiltinPS, ""
		}
		if rapid.Bool().Draw(t, "custom") {
			r.Custom = map[string]int64{"example.com/fpga": 2}
		}
		j.Roles = append(j.Roles, r)
	}
	if j.OwnBoard = rapid.Bool().Draw(t, "own board"); !j.OwnBoard && j.Checkpoint.Dir != "" && rapid.Bool().Draw(t, "board") {
		r := Role{Name: TensorBoard, Instances: 1, Resources: Resources{MemoryMiB: 1024, VCores: 1}, Builtin: BuiltinTensorBoard, Service: true, NodeLabel: j.NodeLabel}
		if rapid.Bool().Draw(t, "command of the board") {
			r.Builtin, r.Command = "", rapid.OneOf(rapid.Just(j.Command), text).Draw(t, "board")
		}
		j.Roles = append(j.Roles, r)
	}
	j.Checkpoint.Local = j.Checkpoint.Dir != "" && rapid.Bool().Draw(t, "local")
	j.Roles = append(j.Roles, Role{Name: Worker, Instances: rapid.IntRange(1, 50).Draw(t, "workers"),
		Resources: Resources{MemoryMiB: 2048, VCores: 1}, Command: j.Command, NodeLabel: j.NodeLabel})
	return j
}

func durations(low time.Duration) *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.Int64Range(int64(low), int64(100*time.Hour)), func(n int64) time.Duration {
		return time.Duration(n)
	})
}

// orNil is how Parse leaves an empty map.
func orNil[M ~map[K]V, K comparable, V any](m M) M {
	if len(m) == 0 {
		return nil
	}
	return m
}
