package sasl

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tfos/internal/hadoop/token"
)

// The exchange of RFC 2831, section 4.
func TestRFCExample(t *testing.T) {
	const challenge = `realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8`
	c := NewClient(ClientOptions{Username: "chris", Password: token.Secret("secret"), URI: "imap/elwood.innosoft.com", Allowed: []QOP{Auth}, Nonce: "OA6MHXh6VqTrRk"})
	response, err := c.Respond([]byte(challenge))
	if err != nil {
		t.Fatal(err)
	}
	d, err := parseDirectives(response)
	if err != nil {
		t.Fatal(err)
	}
	if d["response"] != "d388dad90d4bbd760a152321f2143af7" {
		t.Errorf("response %s", response)
	}
	if err := c.Verify([]byte("rspauth=ea40f60335c427b5527b84dbabcdfffd")); err != nil {
		t.Error(err)
	}
	if err := c.Verify([]byte("rspauth=ea40f60335c427b5527b84dbabcdfffe")); !errors.Is(err, ErrAuthentication) {
		t.Errorf("a wrong proof of the server: %v", err)
	}
	if p, err := c.Protector(); p != nil || err != nil {
		t.Errorf("protector %v, %v for auth", p, err)
	}
}

const identifier = "AB+/=="

func pair(client, server []QOP) (*Client, *Server) {
	c := NewClient(ClientOptions{Username: identifier, Password: token.Secret("pw"), URI: "/default", Allowed: client, Nonce: "c+n=="})
	return c, NewServer(ServerOptions{Realm: "default", URI: "/default", Allowed: server, Nonce: "s,n+=="})
}

func password(user string) (token.Secret, error) {
	if user != identifier {
		return nil, fmt.Errorf("no user %q", user)
	}
	return token.Secret("pw"), nil
}

func TestChoice(t *testing.T) {
	for _, c := range []struct {
		client, server []QOP
		want           QOP
	}{
		{[]QOP{Auth}, []QOP{Auth}, Auth},
		{[]QOP{AuthConf, AuthInt, Auth}, []QOP{Auth, AuthInt}, AuthInt},
		{[]QOP{Auth, AuthInt, AuthConf}, []QOP{AuthConf, AuthInt, Auth}, AuthConf},
		{[]QOP{AuthConf}, []QOP{Auth, AuthInt}, 0},
	} {
		client, server := pair(c.client, c.server)
		response, err := client.Respond(server.Challenge())
		if c.want == 0 {
			if !errors.Is(err, ErrAuthentication) || !strings.Contains(err.Error(), "hadoop.rpc.protection") {
				t.Errorf("nothing in common: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		final, err := server.Accept(response, password)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Verify(final); err != nil {
			t.Fatal(err)
		}
		if client.QOP() != c.want || server.QOP() != c.want {
			t.Errorf("%v and %v agree on %v and %v, want %v", c.client, c.server, client.QOP(), server.QOP(), c.want)
		}
	}
}

// established returns both protectors after an exchange with the one protection and cipher.
func established(t testing.TB, q QOP, cipher string) (client, server *Protector) {
	t.Helper()
	c, s := pair([]QOP{q}, []QOP{q})
	challenge := strings.Replace(string(s.Challenge()), `cipher="rc4,3des"`, `cipher="des,`+cipher+`"`, 1)
	response, err := c.Respond([]byte(challenge))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Accept(response, password); err != nil {
		t.Fatal(err)
	}
	if client, err = c.Protector(); err != nil {
		t.Fatal(err)
	}
	if server, err = s.Protector(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestProtectors(t *testing.T) {
	for _, v := range []struct {
		qop    QOP
		cipher string
	}{{AuthInt, ""}, {AuthConf, "rc4"}, {AuthConf, "3des"}} {
		t.Run(v.qop.String()+v.cipher, func(t *testing.T) {
			client, server := established(t, v.qop, v.cipher)
			for i := range 20 {
				msg := bytes.Repeat([]byte("message "), i*i)[i:max(i, i*i*8-i)]
				from, to := client, server
				if i%3 == 0 {
					from, to = server, client
				}
				wrapped := from.Wrap(msg)
				if len(wrapped) > len(msg)+overhead {
					t.Fatalf("%d bytes became %d", len(msg), len(wrapped))
				}
				if v.qop == AuthConf && len(msg) > 8 && bytes.Contains(wrapped, msg[:8]) {
					t.Fatal("the message shows")
				}
				kept := slices.Clone(wrapped)
				got, err := to.Unwrap(wrapped)
				if err != nil || !bytes.Equal(got, msg) {
					t.Fatalf("message %d: %q, %v", i, got, err)
				}
				if !bytes.Equal(kept, wrapped) {
					t.Fatal("Unwrap changed its argument")
				}
			}
		})
		t.Run(v.qop.String()+v.cipher+" refuses", func(t *testing.T) {
			for _, change := range []func([]byte) []byte{
				func(b []byte) []byte { b[0] ^= 1; return b },
				func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
				func(b []byte) []byte { b[len(b)-8] ^= 1; return b },
				func(b []byte) []byte { return b[:len(b)-1] },
				func(b []byte) []byte { return b[:12] },
				func([]byte) []byte { return nil },
			} {
				client, server := established(t, v.qop, v.cipher)
				if got, err := server.Unwrap(change(client.Wrap([]byte("sixteen bytes...")))); !errors.Is(err, ErrAuthentication) {
					t.Errorf("%q, error %v", got, err)
				}
			}
			client, server := established(t, v.qop, v.cipher)
			first := client.Wrap([]byte("once"))
			if _, err := server.Unwrap(first); err != nil {
				t.Fatal(err)
			}
			if _, err := server.Unwrap(first); !errors.Is(err, ErrAuthentication) {
				t.Errorf("the same message twice: %v", err)
			}
		})
	}
}

func TestServerRefuses(t *testing.T) {
	good, server := pair([]QOP{AuthConf}, []QOP{AuthConf, Auth})
	response, err := good.Respond(server.Challenge())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"nc=00000001", "nc=00000002"}, {`nonce="s,n+=="`, `nonce="x"`}, {"qop=auth-conf", "qop=auth-int"}, {"qop=auth-conf", "qop=auth"},
		{`cipher="rc4"`, `cipher="des"`}, {"/default", "/other"}, {`realm="default"`, `realm="x"`}, {"maxbuf=65536", "maxbuf=3"},
		{"maxbuf=65536", "maxbuf=x"}, {"cnonce=", "c="}, {"response=", "response=0"},
	} {
		changed := strings.Replace(string(response), c[0], c[1], 1)
		if changed == string(response) {
			t.Fatalf("no %q in %s", c[0], response)
		}
		if _, err := server.Accept([]byte(changed), password); !errors.Is(err, ErrAuthentication) {
			t.Errorf("%s: error %v", c[1], err)
		}
	}
	if _, err := server.Accept([]byte(strings.Replace(string(response), identifier, "YQ==", 1)), password); err == nil || errors.Is(err, ErrAuthentication) {
		t.Errorf("the error of the password lookup got lost: %v", err)
	}
	if _, err := server.Accept(response, func(string) (token.Secret, error) { return token.Secret("other"), nil }); !errors.Is(err, ErrAuthentication) {
		t.Errorf("wrong password: %v", err)
	}
	if server.QOP() != 0 {
		t.Error("a refused client left a protection behind")
	}
}

func TestParseDirectives(t *testing.T) {
	d, err := parseDirectives([]byte(` Realm = "a\"b,c" , nonce="x==",,qop="auth, auth-int",charset=utf-8, realm="second"`))
	if err != nil {
		t.Fatal(err)
	}
	want := directives{"realm": `a"b,c`, "nonce": "x==", "qop": "auth, auth-int", "charset": "utf-8"}
	for k, v := range want {
		if d[k] != v {
			t.Errorf("%s = %q, want %q", k, d[k], v)
		}
	}
	if got := parseQOPs(d["qop"]); !slices.Equal(got, []QOP{Auth, AuthInt}) {
		t.Errorf("qops %v", got)
	}
	for _, bad := range []string{"realm", `="x"`, `a="x`, `a="x\`, `a="x"b="y"`, `a b=c`, "a=" + strings.Repeat("x", maxMessage)} {
		if _, err := parseDirectives([]byte(bad)); !errors.Is(err, ErrAuthentication) {
			t.Errorf("%.20q: error %v", bad, err)
		}
	}
}

func TestParseProtection(t *testing.T) {
	for _, c := range []struct {
		in   []string
		want []QOP
	}{
		{nil, []QOP{Auth}},
		{[]string{"authentication", "privacy", " Integrity "}, []QOP{AuthConf, AuthInt, Auth}},
		{[]string{"privacy", "privacy"}, []QOP{AuthConf}},
	} {
		if got, err := ParseProtection(c.in); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, %v", c.in, got, err)
		}
	}
	if _, err := ParseProtection([]string{"auth"}); err == nil {
		t.Error("auth is no value of hadoop.rpc.protection")
	}
}

func FuzzChallenge(f *testing.F) {
	_, s := pair(nil, []QOP{AuthConf, AuthInt, Auth})
	f.Add(s.Challenge())
	f.Add([]byte(`realm="a\"b",nonce="` + base64.StdEncoding.EncodeToString([]byte("n")) + `",algorithm=md5-sess,cipher="3des"`))
	f.Add([]byte(`nonce="`))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, _ := pair([]QOP{AuthConf, AuthInt, Auth}, nil)
		if _, err := c.Respond(in); err == nil {
			if p, err := c.Protector(); err != nil || p != nil && p.Max() <= 0 {
				t.Fatalf("protector %+v, %v", p, err)
			}
		}
		if err := c.Verify(in); err == nil {
			t.Fatal("a proof out of nothing")
		}
	})
}

func FuzzResponse(f *testing.F) {
	c, s := pair([]QOP{AuthConf}, []QOP{AuthConf})
	response, err := c.Respond(s.Challenge())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(response)
	f.Fuzz(func(t *testing.T, in []byte) {
		_, s := pair(nil, []QOP{AuthConf, AuthInt, Auth})
		if _, err := s.Accept(in, password); err == nil {
			if _, err := s.Protector(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzUnwrap(f *testing.F) {
	client, _ := established(f, AuthConf, "3des")
	f.Add(client.Wrap([]byte("hello")))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, c := range []string{"rc4", "3des"} {
			_, server := established(t, AuthConf, c)
			_, _ = server.Unwrap(in)
		}
	})
}
