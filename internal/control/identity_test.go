package control_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"tfos/internal/control"
	"tfos/internal/job"
)

func TestIdentitiesReadBack(t *testing.T) {
	a := newAuthority(t)
	pem, err := a.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := control.ParseAuthority(pem) // as the master gets it from the client
	if err != nil {
		t.Fatal(err)
	}
	epoch := agentSubject(3)
	epoch.Container.ID |= 17 << 40
	for _, s := range []control.Subject{{Party: control.PartyMaster}, {Party: control.PartyClient}, agentSubject(0), agentSubject(12), epoch} {
		id := issue(t, again, s)
		pem, err := id.PEM()
		if err != nil {
			t.Fatal(err)
		}
		got, err := control.ParseIdentity(pem)
		if err != nil || got.Subject() != s {
			t.Errorf("%s: read back as %v, %v", s, got.Subject(), err)
		}
	}
}

func TestOnlyWhoCanBeNamedGetsACertificate(t *testing.T) {
	a := newAuthority(t)
	odd := agentSubject(0)
	odd.Task = job.Task{Role: "odd/name", Index: 3}
	for _, s := range []control.Subject{{}, {Party: "root"}, {Party: control.PartyAgent}, odd} {
		if id, err := a.Issue(s); err == nil {
			t.Errorf("issued %v", id)
		}
	}
}

func TestCertificatesHoldForLongJobsAndOddClocks(t *testing.T) {
	c := raw(t, issue(t, newAuthority(t), agentSubject(0)))
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if now := time.Now(); leaf.NotBefore.After(now.AddDate(0, 0, -6)) || leaf.NotAfter.Before(now.AddDate(1, 0, 0)) {
		t.Errorf("valid from %v to %v", leaf.NotBefore, leaf.NotAfter)
	}
	if leaf.IsCA {
		t.Error("an agent's certificate can issue others")
	}
}

func TestKeysDoNotShow(t *testing.T) {
	a := newAuthority(t)
	id := issue(t, a, agentSubject(0))
	pem, err := id.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{a, *a, id, &id, pem} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "PRIVATE") || strings.Contains(s, "D:") || len(s) > 200 {
				t.Errorf("%s of a %T shows %.300s", verb, v, s)
			}
		}
	}
}

func TestBadBundles(t *testing.T) {
	a := newAuthority(t)
	authority, err := a.PEM()
	if err != nil {
		t.Fatal(err)
	}
	one, err := issue(t, a, agentSubject(0)).PEM()
	if err != nil {
		t.Fatal(err)
	}
	two, err := issue(t, a, agentSubject(1)).PEM()
	if err != nil {
		t.Fatal(err)
	}
	cut := bytes.LastIndex(one, []byte("-----BEGIN PRIVATE KEY"))
	cut2 := bytes.LastIndex(two, []byte("-----BEGIN PRIVATE KEY"))
	for name, b := range map[string][]byte{
		"empty":           nil,
		"an authority":    authority,
		"no key":          one[:cut],
		"another's key":   append(bytes.Clone(one[:cut]), two[cut2:]...),
		"key alone":       one[cut:],
		"broken":          bytes.Replace(one, []byte("MII"), []byte("MIJ"), 1),
		"not PEM at all":  []byte("hello"),
		"a broken header": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	} {
		if id, err := control.ParseIdentity(b); err == nil {
			t.Errorf("%s: read as %v", name, id)
		} else if strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: the error quotes its input: %v", name, err)
		}
	}
	if _, err := control.ParseAuthority(one); err == nil {
		t.Error("an agent's identity is an authority")
	}
}

func FuzzParseIdentity(f *testing.F) {
	a, err := control.NewAuthority()
	if err != nil {
		f.Fatal(err)
	}
	id, err := a.Issue(control.Subject{Party: control.PartyMaster})
	if err != nil {
		f.Fatal(err)
	}
	pem, err := id.PEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(pem))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := control.ParseIdentity(b)
		if err != nil {
			return
		}
		if _, err := id.PEM(); err != nil {
			t.Errorf("read, and not written: %v", err)
		}
	})
}
