package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"tfos/internal/hadoop/token"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Party is the part that the holder of a certificate plays in its job.
type Party string

// The parties.
const (
	PartyMaster Party = "master"
	PartyAgent  Party = "agent"
	PartyClient Party = "client"
	PartyDriver Party = "driver" // tells feeders where workers are
	PartyFeeder Party = "feeder" // a task of Spark that feeds rows to agents
	PartySlot   Party = "slot"   // holds a slot for a task, in an executor of Spark
)

// serverName is what a dialer expects of the server it meets: a party, not a host. Containers have
// no stable host name, and the authority vouches for nobody outside the job.
func (p Party) serverName() string { return string(p) + ".tfos" }

// Subject is the party that a certificate speaks for.
type Subject struct {
	Party     Party
	Container yarn.ContainerID // an agent's
	Task      job.Task         // an agent's
}

// scheme marks the URI of a certificate that holds its Subject: tfos://master,
// tfos://agent/container_…/worker/0.
const scheme = "tfos"

// String is the form in a certificate.
func (s Subject) String() string {
	if s.Party == PartyAgent {
		return scheme + "://" + string(s.Party) + "/" + s.Container.String() + "/" + s.Task.String()
	}
	return scheme + "://" + string(s.Party)
}

// parseSubject reads what String wrote.
func parseSubject(text string) (Subject, error) {
	party, rest, _ := strings.Cut(strings.TrimPrefix(text, scheme+"://"), "/")
	s := Subject{Party: Party(party)}
	var err error
	switch s.Party {
	case PartyMaster, PartyClient, PartyDriver, PartyFeeder, PartySlot:
	case PartyAgent:
		container, task, _ := strings.Cut(rest, "/")
		if s.Container, err = yarn.ParseContainerID(container); err != nil {
			return Subject{}, err
		}
		if s.Task, err = job.ParseTask(task); err != nil {
			return Subject{}, err
		}
	default:
		return Subject{}, fmt.Errorf("%q names no party of a job", text)
	}
	if s.String() != text {
		return Subject{}, fmt.Errorf("%q names no party of a job", text)
	}
	return s, nil
}

// Certificates are valid from skew before they were issued, for clocks that go wrong, until well
// after the longest job.
const (
	skew     = 7 * 24 * time.Hour
	validity = 2 * 365 * 24 * time.Hour
)

// Authority issues the certificates of one job. It is a secret of the client and the master.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority with a new key.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the job's authority: %w", err)
	}
	t, err := template("authority.tfos")
	if err != nil {
		return nil, err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign
	cert, err := sign(t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the job's authority: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// ParseAuthority reads what PEM wrote.
func ParseAuthority(b []byte) (*Authority, error) {
	certs, key, err := parsePEM(b)
	if err != nil {
		return nil, fmt.Errorf("read the job's authority: %w", err)
	}
	if len(certs) != 1 || !certs[0].IsCA {
		return nil, errors.New("read the job's authority: want one certificate, of an authority")
	}
	return &Authority{cert: certs[0], key: key}, nil
}

// PEM is the authority with its key: what launch.SecretAuthority holds.
func (a *Authority) PEM() (token.Secret, error) { return encodePEM(a.key, a.cert) }

// String hides the key.
func (Authority) String() string { return "[authority]" }

// GoString hides the key from %#v.
func (Authority) GoString() string { return "[authority]" }

// Issue makes an identity with a new key.
func (a *Authority) Issue(s Subject) (Identity, error) { return a.IssueFor(s, validity) }

// IssueFor makes an identity that is valid for as long as valid says.
func (a *Authority) IssueFor(s Subject, valid time.Duration) (Identity, error) {
	fail := func(err error) (Identity, error) {
		return Identity{}, fmt.Errorf("issue a certificate for %s: %w", s, err)
	}
	if _, err := parseSubject(s.String()); err != nil {
		return fail(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	t, err := template(s.Party.serverName())
	if err != nil {
		return fail(err)
	}
	uri, err := url.Parse(s.String())
	if err != nil {
		return fail(err)
	}
	t.URIs = []*url.URL{uri}
	t.NotAfter = time.Now().Add(valid)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	if s.Party != PartyClient && s.Party != PartyFeeder && s.Party != PartySlot {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if s.Party != PartyMaster && s.Party != PartyDriver {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	cert, err := sign(t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return fail(err)
	}
	return Identity{subject: s, authority: a.cert, cert: cert, key: key}, nil
}

// Identity is a certificate with its key, and the authority it trusts. Its zero value is nobody. It
// never prints its key.
type Identity struct {
	subject   Subject
	authority *x509.Certificate
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
}

// ParseIdentity reads what PEM wrote.
func ParseIdentity(b []byte) (Identity, error) {
	certs, key, err := parsePEM(b)
	if err != nil {
		return Identity{}, fmt.Errorf("read an identity: %w", err)
	}
	if len(certs) != 2 || !certs[0].IsCA {
		return Identity{}, errors.New("read an identity: want two certificates, the authority's first")
	}
	s, err := subjectOf(certs[1])
	if err != nil {
		return Identity{}, fmt.Errorf("read an identity: %w", err)
	}
	return Identity{subject: s, authority: certs[0], cert: certs[1], key: key}, nil
}

// PEM is the authority's certificate, the holder's certificate and its key: what
// launch.SecretIdentity and launch.ClientKeyFile hold.
func (i Identity) PEM() (token.Secret, error) { return encodePEM(i.key, i.authority, i.cert) }

// Subject is the party that the identity speaks for.
func (i Identity) Subject() Subject { return i.subject }

// String hides the key.
func (i Identity) String() string { return i.subject.String() }

// GoString hides the key from %#v.
func (i Identity) GoString() string { return i.subject.String() }

func (i Identity) certificate() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key, Leaf: i.cert}
}

func subjectOf(cert *x509.Certificate) (Subject, error) {
	if len(cert.URIs) != 1 {
		return Subject{}, errors.New("the certificate names no party of a job")
	}
	return parseSubject(cert.URIs[0].String())
}

func template(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(validity),
	}, nil
}

func sign(t, parent *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

func encodePEM(key *ecdsa.PrivateKey, certs ...*x509.Certificate) (token.Secret, error) {
	if key == nil {
		return nil, errors.New("encode an identity: it is empty")
	}
	var b []byte
	for _, c := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return append(b, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der})...), nil
}

// parsePEM reads certificates and the key of the last of them. Its errors do not quote their input.
func parsePEM(b []byte) ([]*x509.Certificate, *ecdsa.PrivateKey, error) {
	var certs []*x509.Certificate
	var key *ecdsa.PrivateKey
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		switch block.Type {
		case pemCertificate:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			certs = append(certs, c)
		case pemKey:
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			var ok bool
			if key, ok = k.(*ecdsa.PrivateKey); !ok {
				return nil, nil, errors.New("the key is of another kind than ours")
			}
		}
	}
	if key == nil || len(certs) == 0 {
		return nil, nil, errors.New("a certificate or the key is missing")
	}
	if !key.PublicKey.Equal(certs[len(certs)-1].PublicKey) {
		return nil, nil, errors.New("the key is not the certificate's")
	}
	return certs, key, nil
}
