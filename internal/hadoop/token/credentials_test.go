package token

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func sample() *Credentials {
	c := new(Credentials)
	c.Add("", Token{Kind: KindAMRM, Identifier: []byte{1, 2}, Password: Secret{3, 4}})
	c.Add("10.0.0.1:8020", Token{Kind: KindHDFS, Service: "10.0.0.1:8020", Identifier: bytes.Repeat([]byte{9}, 200), Password: Secret("password")})
	c.AddSecret("tfos.key", Secret("hush"))
	return c
}

var unexported = cmp.Options{cmp.AllowUnexported(Credentials{}, namedSecret{}), cmpopts.EquateEmpty()}

func TestCredentialsReadBack(t *testing.T) {
	want := sample()
	for name, b := range map[string][]byte{"writable": want.Encode(), "protobuf": want.EncodeProtobuf(), "empty": new(Credentials).Encode()} {
		got, err := Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w := want
		if name == "empty" {
			w = new(Credentials)
		}
		if diff := cmp.Diff(w, got, unexported); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The bytes are laid out by hand after org.apache.hadoop.security.Credentials.
func TestEncodeBytes(t *testing.T) {
	c := new(Credentials)
	c.Add("a", Token{Kind: "K", Service: "s:1", Identifier: []byte{0xff}, Password: Secret{0xee}})
	c.AddSecret("b", Secret{1})
	const want = "48445453" + "00" + "01" + "0161" + "01ff" + "01ee" + "014b" + "03733a31" + "01" + "0162" + "0101"
	if got := hex.EncodeToString(c.Encode()); got != want {
		t.Errorf("writable %s, want %s", got, want)
	}
	const wantPB = "48445453" + "01" + "1d" + "0a13" + "0a0161" + "120e" + "0a01ff" + "1201ee" + "1a014b" + "2203733a31" + "1206" + "0a0162" + "1a0101"
	if got := hex.EncodeToString(c.EncodeProtobuf()); got != wantPB {
		t.Errorf("protobuf %s, want %s", got, wantPB)
	}
}

func TestLookups(t *testing.T) {
	c := sample()
	if tok, ok := c.OfKind(KindAMRM); !ok || tok.Service != "" {
		t.Error("no AMRMToken by kind")
	}
	if _, ok := c.For(KindHDFS, "10.0.0.1:8020"); !ok {
		t.Error("no token for the NameNode")
	}
	if _, ok := c.For(KindHDFS, "10.0.0.2:8020"); ok {
		t.Error("a token for a NameNode that has none")
	}
	if _, ok := c.Token(""); !ok {
		t.Error("no token under the empty alias")
	}
	if s, ok := c.Secret("tfos.key"); !ok || string(s) != "hush" {
		t.Error("no secret")
	}
	if _, ok := c.Secret("other"); ok {
		t.Error("a secret out of nothing")
	}
	c.Add("", Token{Kind: "other"})
	if len(c.Entries()) != 2 {
		t.Error("an alias has two tokens")
	}
	if _, ok := c.OfKind(KindAMRM); ok {
		t.Error("the replaced token is still there")
	}
	handed := sample().Without(KindAMRM)
	if _, ok := handed.OfKind(KindAMRM); ok || len(handed.Entries()) != 1 {
		t.Errorf("handed on: %v", handed)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := sample().Encode()
	for name, b := range map[string][]byte{
		"nothing": nil, "magic alone": []byte("HDTS"), "another file": []byte("#!/bin/sh"), "unknown format": []byte("HDTS\x02"),
		"cut short": good[:len(good)-3], "huge count": append([]byte("HDTS\x00"), 0x8c, 0x7f, 0xff, 0xff, 0xff),
		"protobuf cut short": []byte("HDTS\x01\x05\x0a"),
	} {
		if _, err := Decode(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	tok := Token{Kind: "K", Password: Secret("hush")}
	c := new(Credentials)
	c.Add("a", tok)
	c.AddSecret("b", Secret("hush"))
	out := fmt.Sprintf("%v %+v %#v %s %q %x %v %+v", tok, tok, tok, tok, tok.Password, tok.Password, c, c)
	if b, err := json.Marshal(tok); err == nil {
		out += string(b)
	}
	if b, err := json.Marshal(tok.Password); err == nil {
		out += string(b)
	}
	for _, bad := range []string{"hush", hex.EncodeToString([]byte("hush")), "104 117"} {
		if strings.Contains(out, bad) {
			t.Errorf("%s", out)
		}
	}
	if err := json.Unmarshal([]byte(`"aGk="`), new(Secret)); err == nil {
		t.Error("a secret was read from JSON")
	}
}

func TestHDFSIdentifier(t *testing.T) {
	b := []byte("\x00\x03ann\x04yarn\x00\x8a\x01\x8b\xcf\xe5\x68\x00\x8a\x01\x8b\xf3\xf1\x34\x00\x07\x02")
	got, err := ParseHDFSIdentifier(b)
	want := HDFSIdentifier{Owner: "ann", Renewer: "yarn", Issued: time.UnixMilli(0x018bcfe56800), MaxDate: time.UnixMilli(0x018bf3f13400), Sequence: 7, KeyID: 2}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ParseHDFSIdentifier(b[:10]); err == nil {
		t.Error("half an identifier was read")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample().Encode())
	f.Add(sample().EncodeProtobuf())
	f.Add([]byte("HDTS\x00\x7f"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := Decode(in)
		if err != nil {
			return
		}
		again, err := Decode(c.Encode())
		if err != nil {
			return // an alias that is not UTF-8: nobody checks that in protobuf
		}
		if diff := cmp.Diff(c, again, unexported); diff != "" {
			t.Error(diff)
		}
	})
}
