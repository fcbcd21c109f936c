package miniyarn

import (
	"fmt"

	"tfos/internal/hadoop/token"
)

// tokenFile is the content of a container's token file: the credentials of its launch context, in
// either format and possibly none, with further tokens, in the format that a NodeManager writes.
func tokenFile(from []byte, more ...token.Token) ([]byte, error) {
	creds := new(token.Credentials)
	if len(from) > 0 {
		var err error
		if creds, err = token.Decode(from); err != nil {
			return nil, fmt.Errorf("credentials of the launch context: %w", err)
		}
	}
	for _, t := range more {
		creds.Add(t.Service, t)
	}
	return creds.Encode(), nil
}
