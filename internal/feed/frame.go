package feed

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A frame, on every connection of a feed, in both directions. Numbers are big endian.
//
//	+------------+-----------------+-------------------+---------------+------+
//	| uint8 kind | uint32 length   | uint64 length of  | head, in JSON | body |
//	|            | of the head     | the body          |               |      |
//	+------------+-----------------+-------------------+---------------+------+
//
// python/tfos/_wire.py has the other side.

// Kind is what a frame says.
type Kind uint8

// The kinds, and whose they are.
const (
	KindOpen      Kind = iota + 1 // feeder → agent, driver: a stream
	KindOpened                    // agent → feeder: the number that is wanted next
	KindChunk                     // feeder → agent → program: rows
	KindConsumed                  // agent → feeder: how far
	KindResult                    // program → agent → feeder: answers to rows
	KindState                     // agent → feeder, each second: what the program does
	KindOver                      // agent, driver → feeder: there is no use in going on
	KindHello                     // program → agent: its incarnation, and the queue
	KindTake                      // program → agent: it has room for more chunks
	KindAck                       // program → agent: it is done with chunks
	KindEnd                       // agent → program: no more rows
	KindTerminate                 // program → agent: it wants no more
	KindFail                      // program → agent: it failed, and why
	KindPlace                     // driver → feeder: the worker that takes a stream
	KindDone                      // feeder → driver: a stream is consumed
	KindLimit                     // agent → program: how many rows it may use
	kinds
)

const (
	frameHeader = 13
	headLimit   = 1 << 20
	bodyLimit   = 1 << 40 // more is no length but noise
)

// Frame is one without its body, which follows it.
type Frame struct {
	Kind Kind
	Head []byte
	Size int64 // of the body
}

// ErrFrame says that what came is no frame.
var ErrFrame = errors.New("what came is no frame of a feed")

// ReadFrame reads a frame up to its body. io.EOF means that there is none.
func ReadFrame(r io.Reader) (Frame, error) {
	var b [frameHeader]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{Kind: Kind(b[0])}
	head, body := binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint64(b[5:])
	if f.Kind == 0 || f.Kind >= kinds || head > headLimit || body > bodyLimit {
		return Frame{}, fmt.Errorf("%w: kind %d, %d and %d bytes", ErrFrame, b[0], head, body)
	}
	f.Size = int64(body)
	f.Head = make([]byte, head)
	if _, err := io.ReadFull(r, f.Head); err != nil {
		return Frame{}, fmt.Errorf("read the head of a frame: %w", noEOF(err))
	}
	return f, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendFrame appends a frame up to its body of size bytes. A head that is too long is an error.
func AppendFrame(b []byte, k Kind, head any, size int64) ([]byte, error) {
	h, err := json.Marshal(head)
	if err != nil {
		return b, fmt.Errorf("write a frame: %w", err)
	}
	if len(h) > headLimit {
		return b, fmt.Errorf("write a frame: a head of %d bytes", len(h))
	}
	b = append(b, byte(k))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h)))
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	return append(b, h...), nil
}

// As reads the head of a frame that must be of a kind.
func (f Frame) As(k Kind, into any) error {
	if f.Kind != k {
		return fmt.Errorf("%w of kind %d: it is of kind %d", ErrFrame, k, f.Kind)
	}
	return f.Decode(into)
}

// Decode reads the head of a frame.
func (f Frame) Decode(into any) error {
	if err := json.Unmarshal(f.Head, into); err != nil {
		return fmt.Errorf("%w: %v", ErrFrame, err)
	}
	return nil
}

// Opening is the head of KindOpen.
type Opening struct {
	Queue   string `json:"queue"`
	Feed    uint64 `json:"feed,omitempty"` // the driver's number of it, from 1; 0: it never ends
	Over    uint64 `json:"over,omitempty"` // feeds before this number have ended: their streams may be forgotten
	Stream  string `json:"stream"`
	Attempt int    `json:"attempt"` // of Spark's task, from 0
	Results bool   `json:"results"`
	From    uint64 `json:"from"`           // the first chunk that the feeder does not know to be consumed
	Host    string `json:"host,omitempty"` // the feeder's: to the driver
	Task    string `json:"task,omitempty"` // the worker that is to get the stream, which is its share of a partition; empty: any
	Lost    string `json:"lost,omitempty"` // the place that the feeder could not go on with: to the driver
}

// Opened is the head of KindOpened.
type Opened struct {
	Next     uint64 `json:"next"`     // the chunk that is wanted
	Consumed uint64 `json:"consumed"` // the first that is not consumed
	Window   int64  `json:"window"`   // bytes that may be on their way, neither consumed nor held; one chunk always may
}

// ChunkHead is the head of KindChunk.
type ChunkHead struct {
	Number  uint64          `json:"n"`
	Rows    int             `json:"rows"` // exact where they are answered or shared; else more than 0 if there are any
	Last    bool            `json:"last,omitempty"`
	Meta    json.RawMessage `json:"meta,omitempty"`
	Ticket  Ticket          `json:"ticket,omitempty"`  // to the program
	Stream  string          `json:"stream,omitempty"`  // to the program
	Results bool            `json:"results,omitempty"` // to the program
	Share   bool            `json:"share,omitempty"`   // to the program: it is its share of a partition
	Skip    int             `json:"skip,omitempty"`    // to the program: rows that an incarnation before it was done with
}

// Consumed is the head of KindConsumed: all chunks before Next are. Those before Held do not count
// in the window: the program has them, and waits for more.
type Consumed struct {
	Next uint64 `json:"next"`
	Held uint64 `json:"held"`
}

// ResultHead is the head of KindResult.
type ResultHead struct {
	Ticket Ticket          `json:"ticket,omitempty"` // from the program
	Rows   int             `json:"rows"`
	Meta   json.RawMessage `json:"meta,omitempty"`
}

// State is the head of KindState.
type State struct {
	Live bool  `json:"live"`    // the program is there
	Idle int64 `json:"idle_ms"` // since it took or finished anything
}

// Word is the head of KindOver and KindFail.
type Word struct {
	Why  string `json:"why"` // of KindOver: an Outlook, or "done", "superseded", "wait"
	Text string `json:"text,omitempty"`
}

// Hello is the head of KindHello.
type Hello struct {
	Incarnation int    `json:"incarnation"`
	Queue       string `json:"queue"`
	Pace        bool   `json:"pace,omitempty"` // it uses no more rows than KindLimit says
}

// Taking is the head of KindTake.
type Taking struct {
	Chunks int `json:"chunks"` // more than before
}

// Acks is the head of KindAck.
type Acks struct {
	Tickets []Ticket `json:"tickets"`
	Held    bool     `json:"held,omitempty"` // not yet, but it waits for more rows
	Part    Ticket   `json:"part,omitempty"` // a chunk that it is not done with, but with
	Rows    int      `json:"rows,omitempty"` // so many rows of it
}

// Place is the head of KindPlace.
type Place struct {
	Task    string `json:"task"`
	Address string `json:"address"` // host:port of the agent's feed
}
