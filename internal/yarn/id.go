package yarn

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// sequenceBits is how many low bits of ContainerID.ID count containers; the ResourceManager's epoch
// stands above them.
const sequenceBits = 40

// String is YARN's own text form, application_<timestamp>_<sequence of at least four digits>.
func (id ApplicationID) String() string {
	return fmt.Sprintf("application_%d_%04d", id.ClusterTimestamp, id.Sequence)
}

// IsZero reports whether id names no application.
func (id ApplicationID) IsZero() bool { return id == ApplicationID{} }

// Compare orders applications by age.
func (id ApplicationID) Compare(other ApplicationID) int {
	return cmp.Or(cmp.Compare(id.ClusterTimestamp, other.ClusterTimestamp), cmp.Compare(id.Sequence, other.Sequence))
}

// ParseApplicationID reads what ApplicationID.String writes.
func ParseApplicationID(s string) (ApplicationID, error) {
	p := idParser{rest: s}
	p.word("application")
	id := p.application()
	if err := p.end("application id", s); err != nil {
		return ApplicationID{}, err
	}
	return id, nil
}

// String is YARN's own text form, appattempt_<timestamp>_<sequence>_<attempt of at least six
// digits>.
func (id AttemptID) String() string {
	return fmt.Sprintf("appattempt_%d_%04d_%06d", id.Application.ClusterTimestamp, id.Application.Sequence, id.Attempt)
}

// IsZero reports whether id names no attempt.
func (id AttemptID) IsZero() bool { return id == AttemptID{} }

// Compare orders attempts by age.
func (id AttemptID) Compare(other AttemptID) int {
	return cmp.Or(id.Application.Compare(other.Application), cmp.Compare(id.Attempt, other.Attempt))
}

// Epoch counts the restarts of the ResourceManager before it made this container.
func (id ContainerID) Epoch() int64 { return id.ID >> sequenceBits }

// Sequence counts the containers of the attempt, from 1 within an epoch.
func (id ContainerID) Sequence() int64 { return id.ID & (1<<sequenceBits - 1) }

// String is YARN's own text form: container_e17_1410901177871_0001_01_000005, without e17_ in the
// first epoch.
func (id ContainerID) String() string {
	epoch := ""
	if e := id.Epoch(); e > 0 {
		epoch = fmt.Sprintf("e%02d_", e)
	}
	app := id.Attempt.Application
	return fmt.Sprintf("container_%s%d_%04d_%02d_%06d", epoch, app.ClusterTimestamp, app.Sequence, id.Attempt.Attempt, id.Sequence())
}

// IsZero reports whether id names no container.
func (id ContainerID) IsZero() bool { return id == ContainerID{} }

// Compare orders containers by their attempt, then by age.
func (id ContainerID) Compare(other ContainerID) int {
	return cmp.Or(id.Attempt.Compare(other.Attempt), cmp.Compare(id.ID, other.ID))
}

// ParseContainerID reads what ContainerID.String writes, as the environment variable CONTAINER_ID
// holds it.
func ParseContainerID(s string) (ContainerID, error) {
	p := idParser{rest: s}
	p.word("container")
	var epoch int64
	if strings.HasPrefix(p.rest, "_e") {
		p.rest = "_" + p.rest[len("_e"):]
		epoch = p.number(1<<(63-sequenceBits) - 1)
	}
	id := ContainerID{Attempt: AttemptID{Application: p.application(), Attempt: p.int32()}}
	id.ID = epoch<<sequenceBits | p.number(1<<sequenceBits-1)
	if err := p.end("container id", s); err != nil {
		return ContainerID{}, err
	}
	return id, nil
}

// String is host:port, as the NodeManager registered them.
func (n NodeID) String() string { return n.Host + ":" + strconv.Itoa(int(n.Port)) }

// IsZero reports whether n names no node.
func (n NodeID) IsZero() bool { return n == NodeID{} }

// Compare orders nodes by host, then port.
func (n NodeID) Compare(other NodeID) int {
	return cmp.Or(cmp.Compare(n.Host, other.Host), cmp.Compare(n.Port, other.Port))
}

// ParseNodeID reads host:port. The last colon divides, as it does in Hadoop.
func ParseNodeID(s string) (NodeID, error) {
	i := strings.LastIndexByte(s, ':')
	if i <= 0 {
		return NodeID{}, fmt.Errorf("node id %q: want host:port", s)
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return NodeID{}, fmt.Errorf("node id %q: the port is no number from 0 to 65535", s)
	}
	return NodeID{Host: s[:i], Port: int32(port)}, nil
}

// idParser reads the parts of an id, each led by "_"; the first failure sticks.
type idParser struct {
	rest   string
	failed bool
}

func (p *idParser) word(w string) {
	rest, ok := strings.CutPrefix(p.rest, w)
	p.rest, p.failed = rest, p.failed || !ok
}

func (p *idParser) number(limit int64) int64 {
	rest, ok := strings.CutPrefix(p.rest, "_")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(rest)
	}
	n, err := strconv.ParseInt(rest[:digits], 10, 64)
	p.failed = p.failed || !ok || err != nil || n > limit
	p.rest = rest[digits:]
	return n
}

func (p *idParser) int32() int32 { return int32(p.number(1<<31 - 1)) }

func (p *idParser) application() ApplicationID {
	return ApplicationID{ClusterTimestamp: p.number(1<<63 - 1), Sequence: p.int32()}
}

func (p *idParser) end(what, s string) error {
	if p.failed || p.rest != "" {
		return fmt.Errorf("%q is no %s", s, what)
	}
	return nil
}
