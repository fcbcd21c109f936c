package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/pprof"
	"strconv"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tfos/internal/control/controlpb"
	"tfos/internal/pause"
)

// Page is something that a process shows of its inside, to the job's clients.
type Page struct {
	Name  string
	Says  string // what it is, in a few words
	Write func(ctx context.Context, w io.Writer) error
}

// StacksPage is an agent's page that shows where its program is.
const StacksPage = "stacks"

// profiled is how long a profile of the processor's time takes.
const profiled = 5 * time.Second

// debugPages are those of any process of ours, and more.
func debugPages(more []Page) []Page {
	return append([]Page{
		{"goroutines", "what each goroutine is doing, with its stack", func(_ context.Context, w io.Writer) error { return pprof.Lookup("goroutine").WriteTo(w, 2) }},
		{"heap", "memory in use, for go tool pprof", func(_ context.Context, w io.Writer) error { return pprof.Lookup("heap").WriteTo(w, 0) }},
		{"profile", fmt.Sprintf("the processor's time during %v, for go tool pprof", profiled), profile},
	}, more...)
}

func profile(ctx context.Context, w io.Writer) error {
	if err := pprof.StartCPUProfile(w); err != nil { // somebody else takes one
		return err
	}
	defer pprof.StopCPUProfile()
	return pause.For(ctx, profiled)
}

// ErrNoPage says that there is no page of the name asked for.
var ErrNoPage = errors.New("no such page")

type debugStream = grpc.ServerStreamingServer[controlpb.DebugChunk]

// showPage sends the page of a name to a client; without a name which there are.
func showPage(pages []Page, r *controlpb.DebugRequest, stream debugStream, log *zap.Logger) error {
	if _, err := admit(stream.Context(), PartyClient); err != nil {
		log.Warn("caller turned away", zap.Error(err))
		return err
	}
	w := chunks{stream}
	if r.GetPage() == "" {
		for _, p := range pages {
			if _, err := fmt.Fprintf(w, "%-12s %s\n", p.Name, p.Says); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range pages {
		if p.Name == r.GetPage() {
			return p.Write(stream.Context(), w)
		}
	}
	return status.Error(codes.InvalidArgument, strconv.Quote(r.GetPage()))
}

// chunkBytes is how much of a page goes into one message.
const chunkBytes = 64 << 10

// chunks sends what is written to it.
type chunks struct{ stream debugStream }

// Write implements io.Writer.
func (c chunks) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		part := b[:min(len(b), chunkBytes)]
		if err = c.stream.Send(&controlpb.DebugChunk{Data: part}); err == nil {
			n, b = n+len(part), b[len(part):]
		}
	}
	return n, err
}

// Debug implements controlpb.MasterServer.
func (ms masterService) Debug(r *controlpb.DebugRequest, stream debugStream) error {
	return showPage(debugPages(ms.m.o.Pages), r, stream, ms.m.o.Logger)
}

// Debug implements controlpb.AgentServer.
func (a agentService) Debug(r *controlpb.DebugRequest, stream debugStream) error {
	return showPage(debugPages(a.pages), r, stream, a.logger)
}

// Debug writes a page of the master's inside; without a name which there are. ErrNoPage is for a
// name that it does not know.
func (c *MasterClient) Debug(ctx context.Context, page string, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Debug(ctx, &controlpb.DebugRequest{Page: valid(page)})
	return readPage(stream, err, w)
}

// Debug writes a page of the agent's inside, like MasterClient.Debug.
func (c *AgentClient) Debug(ctx context.Context, page string, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Debug(ctx, &controlpb.DebugRequest{Page: valid(page)})
	return readPage(stream, err, w)
}

func readPage(stream grpc.ServerStreamingClient[controlpb.DebugChunk], err error, w io.Writer) error {
	for err == nil {
		var c *controlpb.DebugChunk
		if c, err = stream.Recv(); err == nil {
			if _, err := w.Write(c.GetData()); err != nil {
				return err
			}
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case status.Code(err) == codes.InvalidArgument:
		return ErrNoPage
	}
	return foreign(err)
}
