package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"tfos/internal/yarn"
)

// TestStories runs the files in testdata. Each line of a story is one thing that happens to a
// ledger:
//
//	want  ask=1 n=2 [priority=1] [mem=64] [gpu=1]   SetAsk
//	next                                            the request, which is printed
//	answer id=1 [granted=(c/ask/mem[/gpu],…)] [completed=(c,…)] [kept=(c,…)]   what the Outcome holds is printed
//	release c=(1,…)   adopt c=(1,…)   exclude h=(a,…)   readmit h=(a,…)   resync   refused   show
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		l := New()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			for _, line := range append([]string{firstLine(d)}, strings.Split(d.Input, "\n")...) {
				if line = strings.TrimSpace(line); line != "" {
					step(t, l, line, &out)
				}
			}
			if out.Len() == 0 {
				return "nothing\n"
			}
			return out.String()
		})
	})
}

func firstLine(d *datadriven.TestData) string {
	words := []string{d.Cmd}
	for _, a := range d.CmdArgs {
		words = append(words, a.Key+"="+strings.Join(a.Vals, ","))
	}
	return strings.Join(words, " ")
}

func step(t *testing.T, l *Ledger, line string, out *strings.Builder) {
	t.Helper()
	words := strings.Fields(line)
	args := map[string]string{}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		args[key] = strings.Trim(value, "()")
	}
	list := func(key string) []string {
		return slices.DeleteFunc(strings.Split(args[key], ","), func(s string) bool { return s == "" })
	}
	number := func(s string) int64 {
		if s == "" {
			return 0
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return n
	}
	ids := func(key string) []yarn.ContainerID {
		var cs []yarn.ContainerID
		for _, s := range list(key) {
			cs = append(cs, yarn.ContainerID{ID: number(s)})
		}
		return cs
	}
	resource := func(mem, gpu string) yarn.Resource {
		r := yarn.Resource{MemoryMiB: number(mem), VCores: 1}
		if gpu != "" {
			r.Custom = map[string]int64{"yarn.io/gpu": number(gpu)}
		}
		return r
	}
	switch words[0] {
	case "want":
		ask := yarn.Ask{ID: number(args["ask"]), Priority: int32(number(args["ask"])), Count: int(number(args["n"])),
			Resource: resource("64", args["gpu"])}
		if p, ok := args["priority"]; ok {
			ask.Priority = int32(number(p))
		}
		if m, ok := args["mem"]; ok {
			ask.Resource.MemoryMiB = number(m)
		}
		l.SetAsk(ask)
	case "next":
		req := l.Next(0)
		fmt.Fprintf(out, "id=%d", req.ResponseID)
		for _, a := range req.Asks {
			fmt.Fprintf(out, " ask=%d/p%d:%d×(%s)", a.ID, a.Priority, a.Count, a.Resource)
		}
		printIDs(out, "release", req.Releases, func(id yarn.ContainerID) yarn.ContainerID { return id })
		if len(req.BlacklistAdd)+len(req.BlacklistRemove) > 0 {
			fmt.Fprintf(out, " exclude=%v readmit=%v", req.BlacklistAdd, req.BlacklistRemove)
		}
		out.WriteByte('\n')
	case "answer":
		resp := yarn.AllocateResponse{ResponseID: int32(number(args["id"]))}
		for _, g := range list("granted") {
			f := append(strings.Split(g, "/"), "")
			resp.Granted = append(resp.Granted, yarn.Container{ID: yarn.ContainerID{ID: number(f[0])},
				AskID: number(f[1]), Priority: int32(max(number(f[1]), 1)), Resource: resource(f[2], f[3])})
		}
		for _, id := range ids("completed") {
			resp.Completed = append(resp.Completed, yarn.ContainerStatus{ID: id, State: yarn.ContainerComplete})
		}
		for _, id := range ids("kept") {
			resp.Kept = append(resp.Kept, yarn.Container{ID: id})
		}
		o, err := l.Answered(resp)
		if errors.Is(err, ErrNoRequest) {
			fmt.Fprintln(out, err)
			return
		}
		var b strings.Builder
		container := func(c yarn.Container) yarn.ContainerID { return c.ID }
		status := func(s yarn.ContainerStatus) yarn.ContainerID { return s.ID }
		printIDs(&b, "granted", o.Granted, container)
		printIDs(&b, "surplus", o.Surplus, container)
		printIDs(&b, "unfit", o.Unfit, container)
		printIDs(&b, "completed", o.Completed, status)
		printIDs(&b, "unknown", o.Unknown, status)
		if b.Len() > 0 {
			fmt.Fprintln(out, strings.TrimSpace(b.String()))
		}
	case "release":
		l.Release(ids("c")...)
	case "adopt":
		l.Adopt(ids("c")...)
	case "exclude":
		l.Exclude(list("h")...)
	case "readmit":
		l.Readmit(list("h")...)
	case "resync":
		l.Resync()
	case "refused":
		l.Refused()
	case "show":
		s := l.Snapshot()
		fmt.Fprintf(out, "id=%d waiting=%v wanted=%d unsaid=%v", s.ResponseID, s.Waiting, s.Wanted, s.Unsaid)
		self := func(id yarn.ContainerID) yarn.ContainerID { return id }
		printIDs(out, "held", s.Held, self)
		printIDs(out, "releasing", s.Releasing, self)
		fmt.Fprintf(out, " granted=%d surplus=%d unfit=%d completed=%d\n", s.Granted, s.Surplus, s.Unfit, s.Completed)
		if s.Wanted != l.Wanted() {
			t.Fatalf("Wanted is %d, the snapshot says %d", l.Wanted(), s.Wanted)
		}
	default:
		t.Fatalf("no such step: %s", line)
	}
}

func printIDs[T any](out *strings.Builder, what string, items []T, id func(T) yarn.ContainerID) {
	if len(items) == 0 {
		return
	}
	var names []string
	for _, x := range items {
		names = append(names, strconv.FormatInt(id(x).ID, 10))
	}
	fmt.Fprintf(out, " %s=%s", what, strings.Join(names, ","))
}
