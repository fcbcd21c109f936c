package miniyarn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"tfos/internal/hadoop/token"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// errBadToken refuses a token whose password does not belong to its identifier.
var errBadToken = errors.New("the token was not issued here, or was changed")

// secrets issues and checks tokens, with a key of its own for each kind so that none passes for
// another.
type secrets struct {
	started                         time.Time // tells this ResourceManager from others
	client, master, node, container [32]byte
}

func newSecrets(started time.Time) *secrets {
	s := &secrets{started: started}
	for _, key := range [][]byte{s.client[:], s.master[:], s.node[:], s.container[:]} {
		rand.Read(key) // crypto/rand's never fails
	}
	return s
}

func sign(key [32]byte, identifier []byte) token.Secret {
	h := hmac.New(sha256.New, key[:])
	h.Write(identifier)
	return h.Sum(nil)
}

func issue(kind, service string, key [32]byte, id interface{ Marshal() ([]byte, error) }) (token.Token, error) {
	b, err := id.Marshal()
	if err != nil {
		return token.Token{}, fmt.Errorf("issue %s: %w", kind, err)
	}
	return token.Token{Kind: kind, Service: service, Identifier: b, Password: sign(key, b)}, nil
}

// forClient opens the clients' port to a user. The identifier is the user's name.
func (s *secrets) forClient(addr, user string) token.Token {
	return token.Token{Kind: token.KindRM, Service: addr, Identifier: []byte(user), Password: sign(s.client, []byte(user))}
}

// forMaster opens the scheduler's port to one attempt.
func (s *secrets) forMaster(id yarn.AttemptID) (token.Token, error) {
	return issue(token.KindAMRM, "", s.master, yarnrpc.MasterTokenID{Attempt: id})
}

// forNode opens one node's port to an application.
func (s *secrets) forNode(id yarn.AttemptID, node yarn.NodeID, user string) (token.Token, error) {
	return issue(token.KindNM, node.String(), s.node, yarnrpc.NodeTokenID{Attempt: id, Node: node, User: user})
}

// forContainer lets a container be started on its node. The same grant gives the same token, so
// that an answer can be given again. It has no expiry of its own: a node asks the ResourceManager
// whether the grant still stands.
func (s *secrets) forContainer(c yarn.Container, user string) (token.Token, error) {
	return issue(token.KindContain, c.Node.String(), s.container, yarnrpc.ContainerTokenID{
		Container: c.ID, Node: c.Node, User: user, Resource: c.Resource, Priority: c.Priority, AskID: c.AskID, RM: s.started, Created: s.started,
	})
}

// checkContainer reads a container's token after making sure that it was issued here.
func (s *secrets) checkContainer(t token.Token) (yarnrpc.ContainerTokenID, error) {
	if t.Kind != token.KindContain || !hmac.Equal(sign(s.container, t.Identifier), t.Password) {
		return yarnrpc.ContainerTokenID{}, errBadToken
	}
	return yarnrpc.ParseContainerTokenID(t.Identifier)
}
