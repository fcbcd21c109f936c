package token

import (
	"fmt"
	"time"

	"tfos/internal/hadoop/wire"
)

// HDFSIdentifier is what the identifier of an HDFS delegation token says. It can be read by anyone;
// the password proves that the NameNode wrote it.
type HDFSIdentifier struct {
	Owner, Renewer, RealUser string
	Issued, MaxDate          time.Time // MaxDate: no renewal goes beyond it
	Sequence, KeyID          int32
}

// ParseHDFSIdentifier reads the identifier of a token of KindHDFS:
//
//	| 0 | Text owner | Text renewer | Text real user | vlong issued, ms | vlong max date, ms | vint sequence | vint key |
func ParseHDFSIdentifier(b []byte) (HDFSIdentifier, error) {
	d := wire.NewDecoder(b)
	if v := d.Byte(); v != 0 {
		return HDFSIdentifier{}, fmt.Errorf("delegation token identifier of version %d", v)
	}
	id := HDFSIdentifier{Owner: d.Text(), Renewer: d.Text(), RealUser: d.Text()}
	id.Issued, id.MaxDate = time.UnixMilli(d.VLong()), time.UnixMilli(d.VLong())
	id.Sequence, id.KeyID = d.VInt(), d.VInt()
	if d.Err() != nil {
		return HDFSIdentifier{}, fmt.Errorf("delegation token identifier: %w", d.Err())
	}
	return id, nil
}
