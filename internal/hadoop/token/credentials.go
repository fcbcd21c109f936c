package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tfos/internal/hadoop/wire"
)

// ErrFormat is what Decode says of bytes that are no credentials.
var ErrFormat = errors.New("not Hadoop credentials")

// A credentials file begins with a magic and its format.
const (
	credentialsMagic = "HDTS"
	formatWritable   = 0 // what NodeManagers write
	formatProtobuf   = 1
)

// An Entry is a token under the alias by which its owner finds it again: often its service, but any
// text will do.
type Entry struct {
	Alias string
	Token Token
}

// Credentials are the tokens and secrets of one user, as a credentials file or a container's launch
// context carries them. The zero value is empty. The order is kept, so that the same credentials
// encode to the same bytes.
type Credentials struct {
	entries []Entry
	secrets []namedSecret
}

type namedSecret struct {
	alias  string
	secret Secret
}

// Add puts a token under an alias, in place of one that it had.
func (c *Credentials) Add(alias string, t Token) {
	if i := slices.IndexFunc(c.entries, func(e Entry) bool { return e.Alias == alias }); i >= 0 {
		c.entries[i].Token = t
		return
	}
	c.entries = append(c.entries, Entry{alias, t})
}

// AddSecret puts a secret under an alias, in place of one that it had.
func (c *Credentials) AddSecret(alias string, s Secret) {
	if i := slices.IndexFunc(c.secrets, func(n namedSecret) bool { return n.alias == alias }); i >= 0 {
		c.secrets[i].secret = s
		return
	}
	c.secrets = append(c.secrets, namedSecret{alias, s})
}

// Token returns the token under an alias.
func (c *Credentials) Token(alias string) (Token, bool) {
	return c.find(func(e Entry) bool { return e.Alias == alias })
}

// OfKind returns the first token of a kind, whatever its service: an AMRMToken has none.
func (c *Credentials) OfKind(kind string) (Token, bool) {
	return c.find(func(e Entry) bool { return e.Token.Kind == kind })
}

// For returns the first token of a kind for a service, as Hadoop compares them: letter for letter.
func (c *Credentials) For(kind, service string) (Token, bool) {
	return c.find(func(e Entry) bool { return e.Token.Kind == kind && e.Token.Service == service })
}

func (c *Credentials) find(match func(Entry) bool) (Token, bool) {
	if i := slices.IndexFunc(c.entries, match); i >= 0 {
		return c.entries[i].Token, true
	}
	return Token{}, false
}

// Secret returns the secret under an alias.
func (c *Credentials) Secret(alias string) (Secret, bool) {
	for _, n := range c.secrets {
		if n.alias == alias {
			return n.secret, true
		}
	}
	return nil, false
}

// Entries returns all tokens in their order.
func (c *Credentials) Entries() []Entry { return slices.Clone(c.entries) }

// Tokens are the tokens of all entries.
func (c *Credentials) Tokens() []Token {
	var all []Token
	for _, e := range c.entries {
		all = append(all, e.Token)
	}
	return all
}

// Without returns a copy that lacks the tokens of a kind: an application master hands on all but
// its own AMRMToken.
func (c *Credentials) Without(kind string) *Credentials {
	kept := slices.DeleteFunc(slices.Clone(c.entries), func(e Entry) bool { return e.Token.Kind == kind })
	return &Credentials{entries: kept, secrets: slices.Clone(c.secrets)}
}

// String names the tokens' aliases and kinds, and nothing of what is in them.
func (c *Credentials) String() string {
	var b strings.Builder
	for _, e := range c.entries {
		fmt.Fprintf(&b, "%s for %q; ", e.Token.Kind, e.Alias)
	}
	fmt.Fprintf(&b, "%d secrets", len(c.secrets))
	return b.String()
}

// Encode writes format 0, which every Hadoop reads:
//
//	"HDTS" | 0 | vint count | each: Text alias, identifier, password, Text kind, Text service | vint count | each: Text alias, secret
//
// with byte strings behind their length as a vint.
func (c *Credentials) Encode() []byte {
	b := append([]byte(credentialsMagic), formatWritable)
	b = wire.AppendVLong(b, int64(len(c.entries)))
	for _, e := range c.entries {
		b = wire.AppendText(b, e.Alias)
		b = wire.AppendBytes(b, e.Token.Identifier)
		b = wire.AppendBytes(b, e.Token.Password)
		b = wire.AppendText(b, e.Token.Kind)
		b = wire.AppendText(b, e.Token.Service)
	}
	b = wire.AppendVLong(b, int64(len(c.secrets)))
	for _, n := range c.secrets {
		b = wire.AppendText(b, n.alias)
		b = wire.AppendBytes(b, n.secret)
	}
	return b
}

// EncodeProtobuf writes format 1: "HDTS" | 1 | a CredentialsProto behind its length as a varint.
func (c *Credentials) EncodeProtobuf() []byte {
	var message []byte
	for _, e := range c.entries {
		var tok []byte
		for i, v := range [][]byte{e.Token.Identifier, e.Token.Password, []byte(e.Token.Kind), []byte(e.Token.Service)} {
			tok = wire.AppendBytesField(tok, uint64(i+1), v)
		}
		kv := wire.AppendBytesField(nil, kvAlias, []byte(e.Alias))
		message = wire.AppendBytesField(message, credentialsTokens, wire.AppendBytesField(kv, kvToken, tok))
	}
	for _, n := range c.secrets {
		kv := wire.AppendBytesField(nil, kvAlias, []byte(n.alias))
		message = wire.AppendBytesField(message, credentialsSecrets, wire.AppendBytesField(kv, kvSecret, n.secret))
	}
	return wire.AppendDelimited(append([]byte(credentialsMagic), formatProtobuf), message)
}

// Fields of CredentialsProto and CredentialsKVProto; TokenProto's are 1 to 4: identifier, password,
// kind, service.
const (
	credentialsTokens, credentialsSecrets = 1, 2
	kvAlias, kvToken, kvSecret            = 1, 2, 3
)

// Decode reads either format. The result shares no memory with b.
func Decode(b []byte) (*Credentials, error) {
	body, ok := strings.CutPrefix(string(b), credentialsMagic)
	if !ok || body == "" {
		return nil, fmt.Errorf("%w: they begin with %q", ErrFormat, credentialsMagic)
	}
	var c *Credentials
	var err error
	switch body[0] {
	case formatWritable:
		c, err = decodeWritable([]byte(body[1:]))
	case formatProtobuf:
		c, err = decodeProtobuf([]byte(body[1:]))
	default:
		err = fmt.Errorf("format %d is unknown", body[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return c, nil
}

func decodeWritable(b []byte) (*Credentials, error) {
	c, d := new(Credentials), wire.NewDecoder(b)
	for range d.Count(5) {
		alias := d.Text()
		t := Token{Identifier: d.Bytes(), Password: d.Bytes()}
		t.Kind, t.Service = d.Text(), d.Text()
		if d.Err() != nil {
			return nil, d.Err()
		}
		c.Add(alias, t)
	}
	for range d.Count(2) {
		alias := d.Text()
		secret := d.Bytes()
		if d.Err() != nil {
			return nil, d.Err()
		}
		c.AddSecret(alias, secret)
	}
	return c, d.Err()
}

func decodeProtobuf(b []byte) (*Credentials, error) {
	message, _, err := wire.CutDelimited(b)
	if err != nil {
		return nil, err
	}
	c := new(Credentials)
	err = eachField(message, func(f wire.Field) error {
		switch f.Number {
		case credentialsTokens, credentialsSecrets:
			return c.addKV(f.Bytes, f.Number == credentialsTokens)
		}
		return nil
	})
	return c, err
}

// addKV adds what one CredentialsKVProto holds.
func (c *Credentials) addKV(kv []byte, isToken bool) error {
	var alias string
	var t Token
	var secret Secret
	err := eachField(kv, func(f wire.Field) error {
		switch f.Number {
		case kvAlias:
			alias = string(f.Bytes)
		case kvToken:
			return t.decode(f.Bytes)
		case kvSecret:
			secret = f.Bytes
		}
		return nil
	})
	if err != nil {
		return err
	}
	if isToken {
		c.Add(alias, t)
	} else {
		c.AddSecret(alias, secret)
	}
	return nil
}

// decode reads a TokenProto.
func (t *Token) decode(b []byte) error {
	return eachField(b, func(f wire.Field) error {
		switch f.Number {
		case 1:
			t.Identifier = f.Bytes
		case 2:
			t.Password = f.Bytes
		case 3:
			t.Kind = string(f.Bytes)
		case 4:
			t.Service = string(f.Bytes)
		}
		return nil
	})
}

func eachField(b []byte, visit func(wire.Field) error) error {
	for len(b) > 0 {
		f, rest, err := wire.CutField(b)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		b = rest
	}
	return nil
}
