package sasl

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tfos/internal/hadoop/token"
)

// maxBuffer is the largest wrapped token that we take, in bytes; what Java's side says as well.
const maxBuffer = 65536

// nonceCount: a session is never resumed, so it is always the first.
const nonceCount = "00000001"

// session is what both sides know of one authentication.
type session struct {
	username, realm, nonce, cnonce, uri string
	qop                                 QOP
	cipher                              string // of AuthConf
	peerBuffer                          int    // the largest wrapped token the other side takes, bytes
	a1                                  []byte // MD5(username:realm:password) ":" nonce ":" cnonce; a secret
}

func (s *session) setPassword(password token.Secret) {
	h := md5.New()
	fmt.Fprintf(h, "%s:%s:", s.username, s.realm)
	h.Write(password)
	s.a1 = append(h.Sum(nil), ":"+s.nonce+":"+s.cnonce...)
}

// proof is the client's response value, or with server set, the one by which the server shows that
// it knows the password.
func (s *session) proof(server bool) string {
	a2 := "AUTHENTICATE:" + s.uri
	if server {
		a2 = ":" + s.uri
	}
	if s.qop != Auth {
		a2 += ":" + strings.Repeat("0", 32)
	}
	return hexMD5([]byte(strings.Join([]string{hexMD5(s.a1), s.nonce, nonceCount, s.cnonce, s.qop.String(), hexMD5([]byte(a2))}, ":")))
}

func hexMD5(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// parseBuffer reads the maxbuf directive.
func parseBuffer(s string) (int, error) {
	if s == "" {
		return maxBuffer, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n <= overhead || n > 1<<24 {
		return 0, fmt.Errorf("%w: maxbuf %.20q", ErrAuthentication, s)
	}
	return n, nil
}

// ClientOptions says who authenticates, and how.
type ClientOptions struct {
	Username string // Hadoop: the token's identifier in base64
	Password token.Secret
	URI      string // protocol/server, both from the server's offer
	Allowed  []QOP
	Nonce    string // from a good random source, at least 64 bits; no quotes
}

// Client is the side that wants in.
type Client struct {
	o ClientOptions
	s session
}

// NewClient returns a client for one authentication.
func NewClient(o ClientOptions) *Client { return &Client{o: o} }

// Respond answers the server's challenge, choosing the strongest protection that both sides allow.
func (c *Client) Respond(challenge []byte) ([]byte, error) {
	d, err := parseDirectives(challenge)
	if err != nil {
		return nil, err
	}
	if d["nonce"] == "" || d["algorithm"] != "md5-sess" {
		return nil, fmt.Errorf("%w: challenge without nonce or with algorithm %.20q", ErrAuthentication, d["algorithm"])
	}
	c.s = session{username: c.o.Username, realm: d["realm"], nonce: d["nonce"], cnonce: c.o.Nonce, uri: c.o.URI}
	if c.s.peerBuffer, err = parseBuffer(d["maxbuf"]); err != nil {
		return nil, err
	}
	offered := parseQOPs(d["qop"])
	for _, q := range c.o.Allowed {
		if q > c.s.qop && slices.Contains(offered, q) {
			c.s.qop = q
		}
	}
	if c.s.qop == 0 {
		return nil, fmt.Errorf("%w: the server protects connections by %q, we are configured for %q (hadoop.rpc.protection)", ErrAuthentication, joinQOPs(offered), joinQOPs(c.o.Allowed))
	}
	if c.s.qop == AuthConf {
		if c.s.cipher = chooseCipher(d["cipher"]); c.s.cipher == "" {
			return nil, fmt.Errorf("%w: no cipher in common: the server offers %.80q", ErrAuthentication, d["cipher"])
		}
	}
	c.s.setPassword(c.o.Password)

	r := fmt.Sprintf("charset=utf-8,username=%s,realm=%s,nonce=%s,nc=%s,cnonce=%s,digest-uri=%s,maxbuf=%d,response=%s,qop=%s",
		quote(c.s.username), quote(c.s.realm), quote(c.s.nonce), nonceCount, quote(c.s.cnonce), quote(c.s.uri), maxBuffer, c.s.proof(false), c.s.qop)
	if c.s.cipher != "" {
		r += ",cipher=" + quote(c.s.cipher)
	}
	return []byte(r), nil
}

// Verify checks the server's last message: it proves that the server knows the password as well.
func (c *Client) Verify(final []byte) error {
	d, err := parseDirectives(final)
	if err != nil {
		return err
	}
	if c.s.a1 == nil || !equal(d["rspauth"], c.s.proof(true)) {
		return fmt.Errorf("%w: the server does not know the token's password", ErrAuthentication)
	}
	return nil
}

// QOP is the protection that Respond chose.
func (c *Client) QOP() QOP { return c.s.qop }

// Protector returns what wraps and unwraps from now on; nil if the protection is Auth.
func (c *Client) Protector() (*Protector, error) { return newProtector(&c.s, clientSide) }

// ServerOptions says what a server offers.
type ServerOptions struct {
	Realm   string // Hadoop: "default"
	URI     string // protocol/server as in the offer; a client that means another is refused
	Allowed []QOP
	Nonce   string // from a good random source; no quotes
}

// Server is the side that checks.
type Server struct {
	o ServerOptions
	s session
}

// NewServer returns a server for one authentication.
func NewServer(o ServerOptions) *Server { return &Server{o: o} }

// Challenge is the server's first message.
func (v *Server) Challenge() []byte {
	c := fmt.Sprintf("realm=%s,nonce=%s,qop=%s,charset=utf-8,algorithm=md5-sess,maxbuf=%d", quote(v.o.Realm), quote(v.o.Nonce), quote(joinQOPs(v.o.Allowed)), maxBuffer)
	if slices.Contains(v.o.Allowed, AuthConf) {
		c += ",cipher=" + quote(strings.Join(cipherNames(), ","))
	}
	return []byte(c)
}

// Accept checks a client's response against the password of the user it names, and returns the
// server's last message. An error of password is returned as it is; any other is an
// ErrAuthentication.
func (v *Server) Accept(response []byte, password func(username string) (token.Secret, error)) ([]byte, error) {
	d, err := parseDirectives(response)
	if err != nil {
		return nil, err
	}
	s := session{username: d["username"], realm: d["realm"], nonce: d["nonce"], cnonce: d["cnonce"], uri: d["digest-uri"], cipher: d["cipher"]}
	for _, q := range v.o.Allowed {
		if q.String() == d["qop"] || q == Auth && d["qop"] == "" {
			s.qop = q
		}
	}
	switch {
	case s.nonce != v.o.Nonce || d["nc"] != nonceCount || s.cnonce == "":
		err = fmt.Errorf("%w: nonce of another session", ErrAuthentication)
	case s.realm != v.o.Realm || s.uri != v.o.URI:
		err = fmt.Errorf("%w: meant for %.40q in realm %.40q", ErrAuthentication, s.uri, s.realm)
	case s.qop == 0:
		err = fmt.Errorf("%w: protection %.20q was not offered", ErrAuthentication, d["qop"])
	case s.qop == AuthConf && ciphers[s.cipher] == nil:
		err = fmt.Errorf("%w: cipher %.20q was not offered", ErrAuthentication, s.cipher)
	default:
		s.peerBuffer, err = parseBuffer(d["maxbuf"])
	}
	if err != nil {
		return nil, err
	}
	secret, err := password(s.username)
	if err != nil {
		return nil, err
	}
	s.setPassword(secret)
	if !equal(d["response"], s.proof(false)) {
		return nil, fmt.Errorf("%w: wrong password", ErrAuthentication)
	}
	v.s = s
	return []byte("rspauth=" + s.proof(true)), nil
}

// QOP is the protection that the client chose, 0 before Accept succeeded.
func (v *Server) QOP() QOP { return v.s.qop }

// Protector returns what wraps and unwraps from now on; nil if the protection is Auth.
func (v *Server) Protector() (*Protector, error) { return newProtector(&v.s, serverSide) }
