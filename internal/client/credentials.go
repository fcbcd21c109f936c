package client

import (
	"context"

	"tfos/internal/client/stage"
	"tfos/internal/control"
	"tfos/internal/hadoop/token"
	"tfos/internal/launch"
)

// credentials is what the master's container is given: the job's authority, and tokens for the
// filesystem if it wants any.
func (c *Cluster) credentials(ctx context.Context, a *control.Authority) ([]byte, error) {
	pem, err := a.PEM()
	if err != nil {
		return nil, err
	}
	var creds token.Credentials
	creds.AddSecret(launch.SecretAuthority, pem)
	if err := c.addToken(ctx, &creds); err != nil {
		return nil, err
	}
	return creds.Encode(), nil
}

// addToken adds a new token for the filesystem, if that wants any.
func (c *Cluster) addToken(ctx context.Context, creds *token.Credentials) error {
	if c.Token == nil {
		return nil
	}
	t, err := c.Token(ctx)
	if err != nil {
		return stage.Explain(c.FS, "get a delegation token for", c.Home, err)
	}
	if !t.IsZero() {
		creds.Add(t.Service, t)
	}
	return nil
}
