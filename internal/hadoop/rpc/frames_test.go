package rpc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/wire"
)

// What a NameNode of Hadoop 3.4.3 and this client sent each other when user ann asked for "/" and a
// token, and for a method that does not exist (its stack trace shortened). The token has long
// expired.
var exchange343 = []struct{ sent, got string }{
	{
		"68727063090000" + "000000430a080210001805220028013712050a03616e6e1a2e6f72672e6170616368652e6861646f6f702e686466732e70726f746f636f6c2e436c69656e7450726f746f636f6c" +
			"0000005f1a08021000180222100102030000000000000000000000000028003f0a0b67657446696c65496e666f122e6f72672e6170616368652e6861646f6f702e686466732e70726f746f636f6c2e436c69656e7450726f746f636f6c1801030a012f",
		"000000541a0801100018093a10010203000000000000000000000000004000380a36080112001800220308ed032a04726f6f74320a737570657267726f757038cfd9bda4a034400050005800688180017003800100900108",
	},
	{
		"000000691a0802100018042210010203000000000000000000000000002800460a1267657444656c65676174696f6e546f6b656e122e6f72672e6170616368652e6861646f6f702e686466732e70726f746f636f6c2e436c69656e7450726f746f636f6c1801060a047961726e",
		"0000006a1a0802100018093a100102030000000000000000000000000040004e0a4c0a1b0003616e6e047961726e008a01a204932b598a01a2289faf5902021214ceee307aa6104a246bd8d8a54fa19f223703c2fd1a15484446535f44454c45474154494f4e5f544f4b454e2200",
	},
	{
		"0000005a1a08021000180622100102030000000000000000000000000028003a0a066e6f53756368122e6f72672e6170616368652e6861646f6f702e686466732e70726f746f636f6c2e436c69656e7450726f746f636f6c1801030a012f",
		"000000bcba01080310011809222e6f72672e6170616368652e6861646f6f702e6970632e5270634e6f537563684d6574686f64457863657074696f6e2a6c556e6b6e6f776e206d6574686f64206e6f537563682063616c6c6564206f6e206f72672e6170616368652e6861646f6f702e686466732e70726f746f636f6c2e436c69656e7450726f746f636f6c2070726f746f636f6c2e0a09617420736f6d652e6a6176612e436c61737330023a10010203000000000000000000000000004000",
	},
}

func TestCapturedExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net1 := newPipes()
		l := net1.listen("nn:1")
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for i, x := range exchange343 {
				want := unhex(t, x.sent)
				got := make([]byte, len(want))
				if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("message %d: %x, %v\nwant %s", i, got, err, x.sent)
					return
				}
				if _, err := conn.Write(unhex(t, x.got)); err != nil {
					t.Error(err)
				}
			}
		}()
		c := NewClient(Options{Protocol: "org.apache.hadoop.hdfs.protocol.ClientProtocol", Addrs: []string{"nn:1"}, Dial: net1.dial, User: "ann", ClientID: [16]byte{1, 2, 3}})
		var info pb.GetFileInfoResponseProto
		if err := c.Call(t.Context(), "getFileInfo", &pb.GetFileInfoRequestProto{Src: proto.String("/")}, &info); err != nil || info.GetFs().GetOwner() != "root" || info.GetFs().GetPermission().GetPerm() != 0o755 {
			t.Errorf("%v, %v", &info, err)
		}
		var tok pb.GetDelegationTokenResponseProto
		if err := c.Call(t.Context(), "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: proto.String("yarn")}, &tok); err != nil || len(tok.GetToken().GetPassword()) != 20 {
			t.Errorf("%v, %v", &tok, err)
		}
		err := c.Call(t.Context(), "noSuch", &pb.GetFileInfoRequestProto{Src: proto.String("/")}, &info)
		if !errors.Is(err, ErrNoSuchMethod) || err.Error() != "noSuch: RpcNoSuchMethodException: Unknown method noSuch called on org.apache.hadoop.hdfs.protocol.ClientProtocol protocol." {
			t.Errorf("error %v", err)
		}
		<-done
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// FuzzServer feeds what a client might send to a server that takes names and tokens.
func FuzzServer(f *testing.F) {
	start, err := hex.DecodeString(exchange343[0].sent)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(start)
	f.Add([]byte("hrpc\x09\x00\xdf\x00\x00\x00\x0e\x0a\x08\x02\x10\x00\x18\x41\x22\x00\x28\x01\x02\x10\x01"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := NewServer(ServerOptions{Auth: []AuthMethod{Token, Simple}, Secrets: secrets})
		s.Register(protocol, 1, echo)
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() { s.serve(t.Context(), there, nil); close(done) }()
		go func() { _, _ = io.Copy(io.Discard, here) }()
		_, _ = here.Write(in)
		_ = here.Close()
		<-done
	})
}

// FuzzClient feeds what a service might answer to a client's handshake and call.
func FuzzClient(f *testing.F) {
	answer, err := hex.DecodeString(exchange343[0].got)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Add([]byte("HTTP/1.1 404 Not Found\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		go func() { _, _ = there.Write(in); _ = there.Close() }()
		if conn, err := Handshake(t.Context(), here, HandshakeOptions{Protocol: protocol, Token: aToken}); err == nil {
			t.Errorf("%v was made of garbage", conn)
		}
		_ = here.Close()
		_, _, _, _ = cutResponse(in)
	})
}

func readTestFrame(r io.Reader) ([]byte, error) { return wire.ReadFrame(r, wire.MaxFrame) }

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
