package datanode_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/dfs/datanode"
	"tfos/internal/dfs/datanode/datanodetest"
	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/token"
)

func random(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b)
	return b
}

func client(t *testing.T, o datanode.Options) *datanode.Client {
	t.Helper()
	o.Dial, o.Timeout = new(net.Dialer).DialContext, 5*time.Second
	c := datanode.New(o)
	t.Cleanup(c.Close)
	return c
}

func block(id uint64) *pb.ExtendedBlockProto {
	return &pb.ExtendedBlockProto{PoolId: proto.String("pool"), BlockId: &id, GenerationStamp: proto.Uint64(1)}
}

var goodToken = &pb.TokenProto{Identifier: []byte("good"), Password: []byte("secret"), Kind: proto.String(token.KindBlock), Service: proto.String("")}

func read(t *testing.T, c *datanode.Client, d *datanodetest.Server, offset, length int64) ([]byte, error) {
	t.Helper()
	r, err := c.Open(t.Context(), datanode.Range{Addr: d.Addr(), Block: block(7), Token: goodToken, Offset: offset, Length: length})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Whatever the shape of the data and of the reads, the range comes as it is, and one connection
// does for all.
func TestRanges(t *testing.T) {
	content := random(300_000)
	for _, shape := range []datanodetest.Shape{
		{Ragged: true, Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32C},
		{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32C},
		{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32C, Packet: 512},
		{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32, Chunk: 1000, Packet: 30_000},
		{Checksum: pb.ChecksumTypeProto_CHECKSUM_NULL},
	} {
		t.Run(fmt.Sprint(shape.Checksum, shape.Packet), func(t *testing.T) {
			d := datanodetest.Start(t, shape)
			d.Put(7, content)
			c := client(t, datanode.Options{})
			seeded := rand.New(rand.NewPCG(1, 2))
			requests := 0
			check := func(offset, length int64, wrap func(io.Reader) io.Reader) {
				t.Helper()
				r, err := c.Open(t.Context(), datanode.Range{Addr: d.Addr(), Block: block(7), Token: goodToken, Offset: offset, Length: length})
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(wrap(r))
				if err != nil || !bytes.Equal(got, content[offset:offset+length]) {
					t.Fatalf("range of %d bytes from %d: %d bytes, %v", length, offset, len(got), err)
				}
				requests++
			}
			plain := func(r io.Reader) io.Reader { return r }
			check(0, int64(len(content)), plain)
			check(int64(len(content))-1, 1, plain)
			check(511, 2, iotest.OneByteReader)
			for range 30 {
				offset := seeded.Int64N(int64(len(content)))
				length := 1 + seeded.Int64N(int64(len(content))-offset)
				check(offset, length, []func(io.Reader) io.Reader{plain, iotest.HalfReader}[seeded.IntN(2)])
			}
			want := datanodetest.Seen{Connections: 1, Requests: requests, Confirmed: requests}
			if shape.Checksum == pb.ChecksumTypeProto_CHECKSUM_NULL {
				want.Confirmed = 0
			}
			seen := d.Seen()
			if seen.Confirmed == want.Confirmed-1 { // the last may be on its way
				seen.Confirmed++
			}
			if seen != want {
				t.Errorf("the DataNode has seen %+v, want %+v", seen, want)
			}
		})
	}
}

// A connection that the DataNode closed while it was idle costs nothing but another.
func TestKeptConnectionThatWasClosed(t *testing.T) {
	d := datanodetest.Start(t, datanodetest.Shape{})
	d.Put(7, random(1000))
	c := client(t, datanode.Options{})
	for range 3 {
		if _, err := read(t, c, d, 10, 100); err != nil {
			t.Fatal(err)
		}
		d.Drop()
	}
	if seen := d.Seen(); seen.Connections != 3 {
		t.Errorf("%d connections, want 3", seen.Connections)
	}
}

func TestHandshake(t *testing.T) {
	key := &pb.DataEncryptionKeyProto{
		KeyId: proto.Uint32(1<<32 - 5), BlockPoolId: proto.String("pool"), Nonce: []byte("nonce"), EncryptionKey: []byte("of the NameNode"), ExpiryDate: proto.Uint64(0),
	}
	content := random(200_000)
	for _, c := range []struct {
		name            string
		allowed, theirs []sasl.QOP
		aes, theirAES   bool
		key             bool
		want            error
	}{
		{name: "authentication", allowed: []sasl.QOP{sasl.Auth}, theirs: []sasl.QOP{sasl.Auth, sasl.AuthInt}},
		{name: "integrity", allowed: []sasl.QOP{sasl.AuthInt}, theirs: []sasl.QOP{sasl.AuthInt}},
		{name: "privacy", allowed: []sasl.QOP{sasl.AuthConf}, theirs: []sasl.QOP{sasl.AuthConf, sasl.AuthInt}},
		{name: "privacy by AES", allowed: []sasl.QOP{sasl.AuthConf}, theirs: []sasl.QOP{sasl.AuthConf}, aes: true, theirAES: true},
		{name: "privacy where AES is unknown", allowed: []sasl.QOP{sasl.AuthConf}, theirs: []sasl.QOP{sasl.AuthConf}, aes: true},
		{name: "encrypted", allowed: []sasl.QOP{sasl.AuthConf}, theirs: []sasl.QOP{sasl.AuthConf}, aes: true, theirAES: true, key: true},
		{name: "nothing in common", allowed: []sasl.QOP{sasl.AuthConf}, theirs: []sasl.QOP{sasl.Auth}, want: sasl.ErrAuthentication},
	} {
		t.Run(c.name, func(t *testing.T) {
			shape := datanodetest.Shape{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32C, Allowed: c.theirs, AES: c.theirAES}
			o := datanode.Options{Allowed: c.allowed, AES: c.aes}
			if c.key {
				o.Key = func(context.Context) (*pb.DataEncryptionKeyProto, error) { return key, nil }
				shape.Password = func(username string) (token.Secret, error) {
					if want := "-5 pool " + base64.StdEncoding.EncodeToString([]byte("nonce")); username != want {
						t.Errorf("the key's name is %q, want %q", username, want)
					}
					return datanodetest.Encode("of the NameNode"), nil
				}
			}
			d := datanodetest.Start(t, shape)
			d.Put(7, content)
			reader := client(t, o)
			for range 2 {
				got, err := read(t, reader, d, 100, 150_000)
				if !errors.Is(err, c.want) || err == nil && !bytes.Equal(got, content[100:150_100]) {
					t.Fatalf("%d bytes, %v, want error %v", len(got), err, c.want)
				}
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		d := datanodetest.Start(t, datanodetest.Shape{Allowed: []sasl.QOP{sasl.Auth}, Password: func(string) (token.Secret, error) { return datanodetest.Encode("another"), nil }})
		var refused *datanode.RefusedError
		if _, err := read(t, client(t, datanode.Options{Allowed: []sasl.QOP{sasl.Auth}}), d, 0, 1); !errors.As(err, &refused) {
			t.Errorf("error %v, want the DataNode's refusal", err)
		}
	})
}

// A connection can be given away where it carries packets as they are; else the reader has it, and
// reads.
func TestDetach(t *testing.T) {
	content := random(200_000)
	for _, c := range []struct {
		name      string
		protected sasl.QOP
		sums      pb.ChecksumTypeProto
		want      bool
	}{
		{"authentication", sasl.Auth, pb.ChecksumTypeProto_CHECKSUM_CRC32C, true},
		{"no checksums", sasl.Auth, pb.ChecksumTypeProto_CHECKSUM_NULL, true},
		{"another checksum", sasl.Auth, pb.ChecksumTypeProto_CHECKSUM_CRC32, false},
		{"integrity", sasl.AuthInt, pb.ChecksumTypeProto_CHECKSUM_CRC32C, false},
		{"privacy", sasl.AuthConf, pb.ChecksumTypeProto_CHECKSUM_CRC32C, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := datanodetest.Start(t, datanodetest.Shape{Checksum: c.sums, Allowed: []sasl.QOP{c.protected}})
			d.Put(7, content)
			r, err := client(t, datanode.Options{Allowed: []sasl.QOP{c.protected}}).Open(t.Context(), datanode.Range{
				Addr: d.Addr(), Block: block(7), Token: goodToken, Offset: 1000, Length: 150_000,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			s, ok := r.Detach()
			if ok != c.want {
				t.Fatalf("it was given away: %v", ok)
			}
			if !ok {
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content[1000:151_000]) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				return
			}
			defer s.Socket.Close()
			if _, err := r.Read(make([]byte, 1)); err == nil {
				t.Error("the reader reads on")
			}
			if _, ok := r.Detach(); ok {
				t.Error("it was given away twice")
			}
			if s.Offset > 1000 || s.Offset%512 != 0 || s.Chunk != map[bool]int{true: 512}[c.sums == pb.ChecksumTypeProto_CHECKSUM_CRC32C] {
				t.Errorf("begins at %d, %d bytes for each checksum", s.Offset, s.Chunk)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	content := random(300_000)
	start := func(t *testing.T, f datanodetest.Fault) *datanodetest.Server {
		d := datanodetest.Start(t, datanodetest.Shape{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32C})
		d.Put(7, content)
		d.Fail(7, f)
		return d
	}
	for _, c := range []struct {
		name  string
		fault datanodetest.Fault
		want  error
		whole int // bytes that came before
	}{
		{"flipped bit", datanodetest.Fault{Flip: 200_000}, datanode.ErrChecksum, 196608},
		{"flipped bit in the last chunk", datanodetest.Fault{Flip: 299_999}, datanode.ErrChecksum, 262144},
		{"death", datanodetest.Fault{Die: 100_000}, io.ErrUnexpectedEOF, 65536},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(t, client(t, datanode.Options{}), start(t, c.fault), 0, 300_000)
			if !errors.Is(err, c.want) || !bytes.Equal(got, content[:c.whole]) {
				t.Errorf("%d bytes, %v, want %d and %v", len(got), err, c.whole, c.want)
			}
		})
	}
	t.Run("short block", func(t *testing.T) {
		if got, err := read(t, client(t, datanode.Options{}), start(t, datanodetest.Fault{}), 299_000, 2000); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 1000 {
			t.Errorf("%d bytes, %v, want io.ErrUnexpectedEOF after 1000", len(got), err)
		}
	})
	t.Run("no such block", func(t *testing.T) {
		d := start(t, datanodetest.Fault{})
		_, err := client(t, datanode.Options{}).Open(t.Context(), datanode.Range{Addr: d.Addr(), Block: block(8), Token: goodToken, Length: 1})
		var refused *datanode.RefusedError
		if !errors.As(err, &refused) || refused.Status != "ERROR" || errors.Is(err, datanode.ErrToken) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("token", func(t *testing.T) {
		d := start(t, datanodetest.Fault{})
		d.Want("new")
		if _, err := read(t, client(t, datanode.Options{}), d, 0, 1); !errors.Is(err, datanode.ErrToken) {
			t.Errorf("error %v, want ErrToken", err)
		}
	})
	t.Run("silence", func(t *testing.T) {
		d := start(t, datanodetest.Fault{Stall: make(chan struct{})})
		c := datanode.New(datanode.Options{Dial: new(net.Dialer).DialContext, Timeout: 50 * time.Millisecond})
		defer c.Close()
		var timeout net.Error
		if _, err := read(t, c, d, 0, 1); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("error %v, want a timeout", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		asked := make(chan struct{}, 1)
		d := start(t, datanodetest.Fault{Stall: asked})
		ctx, cancel := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := client(t, datanode.Options{}).Open(ctx, datanode.Range{Addr: d.Addr(), Block: block(7), Length: 1}); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context.Canceled", err)
			}
		})
		<-asked
		cancel()
		asking.Wait()
	})
	t.Run("closed", func(t *testing.T) {
		d := start(t, datanodetest.Fault{})
		r, err := client(t, datanode.Options{}).Open(t.Context(), datanode.Range{Addr: d.Addr(), Block: block(7), Length: 300_000})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadAll(r); err == nil {
			t.Error("a reader that was closed reads on")
		}
	})
}
