package sasl

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// overhead bounds what wrapping adds to a message, in bytes: a block of padding, the MAC, and the
// trailer.
const overhead = 8 + macSize + trailerSize

const (
	macSize     = 10 // of HMAC-MD5's 16
	trailerSize = 6  // | uint16 1 | uint32 sequence number |
)

// Protector wraps messages for the other side and unwraps its messages, each in order.
//
//	integrity | message | MAC | 0x0001 | sequence |
//	privacy   | cipher(message | padding | MAC) | 0x0001 | sequence |
//
// where MAC is the first ten bytes of HMAC-MD5(key, sequence | message). Only block ciphers pad.
type Protector struct {
	max     int
	out, in direction
}

// direction is the state of one way. Its cipher runs on from message to message.
type direction struct {
	key   []byte // signs
	seq   uint32
	block int                   // the cipher's block size; 1: a stream; 0: none
	crypt func(dst, src []byte) // nil: integrity only
}

type side int

const (
	clientSide side = iota
	serverSide
)

func newProtector(s *session, at side) (*Protector, error) {
	if s.qop == Auth {
		return nil, nil
	}
	h := md5.Sum(s.a1)
	p := &Protector{max: min(s.peerBuffer, maxBuffer) - overhead}
	toServer, toClient := &p.out, &p.in
	if at == serverSide {
		toServer, toClient = toClient, toServer
	}
	toServer.key = derive(h[:], "Digest session key to client-to-server signing key magic constant")
	toClient.key = derive(h[:], "Digest session key to server-to-client signing key magic constant")
	if s.qop == AuthInt {
		return p, nil
	}
	c := ciphers[s.cipher]
	if c == nil {
		return nil, fmt.Errorf("%w: unknown cipher %q", ErrAuthentication, s.cipher)
	}
	if err := c(toServer, derive(h[:], "Digest H(A1) to client-to-server sealing key magic constant"), toServer == &p.out); err != nil {
		return nil, err
	}
	return p, c(toClient, derive(h[:], "Digest H(A1) to server-to-client sealing key magic constant"), toClient == &p.out)
}

func derive(key []byte, magic string) []byte {
	sum := md5.Sum(append(slices.Clone(key), magic...))
	return sum[:]
}

// ciphers are those we know, by the name in the cipher directive. rc4 is what every Hadoop up to
// now agrees to; a JDK that was told to disable it offers 3des. The keys of both come from all 16
// bytes of H(A1).
var ciphers = map[string]func(d *direction, key []byte, encrypt bool) error{"rc4": useRC4, "3des": useTripleDES}

func cipherNames() []string { return []string{"rc4", "3des"} }

// chooseCipher takes the first of ours that the comma separated list holds, "" if there is none.
func chooseCipher(list string) string {
	offered := strings.Split(strings.ReplaceAll(list, " ", ""), ",")
	for _, name := range cipherNames() {
		if slices.Contains(offered, name) {
			return name
		}
	}
	return ""
}

func useRC4(d *direction, key []byte, _ bool) error {
	c, err := rc4.NewCipher(key)
	if err != nil {
		return err
	}
	d.block, d.crypt = 1, c.XORKeyStream
	return nil
}

// useTripleDES takes two DES keys of 7 bytes from the first 14 of key, the initial vector from its
// last 8; CBC, with the first key used again as the third.
func useTripleDES(d *direction, key []byte, encrypt bool) error {
	k1, k2, iv := withParity(key[:7]), withParity(key[7:14]), key[8:]
	c, err := des.NewTripleDESCipher(slices.Concat(k1, k2, k1))
	if err != nil {
		return err
	}
	mode := cipher.NewCBCDecrypter(c, iv)
	if encrypt {
		mode = cipher.NewCBCEncrypter(c, iv)
	}
	d.block, d.crypt = des.BlockSize, mode.CryptBlocks
	return nil
}

// withParity spreads 56 bits over 8 bytes, the lowest bit of each making its parity odd.
func withParity(k []byte) []byte {
	var n uint64
	for _, b := range k {
		n = n<<8 | uint64(b)
	}
	out := make([]byte, 8)
	for i := range out {
		b := byte(n>>(49-7*i)) << 1
		if bits.OnesCount8(b)%2 == 0 {
			b |= 1
		}
		out[i] = b
	}
	return out
}

// Max is the largest message Wrap may be given, in bytes.
func (p *Protector) Max() int { return p.max }

// Wrap protects one message for the other side.
func (p *Protector) Wrap(msg []byte) []byte {
	d := &p.out
	b := make([]byte, 0, len(msg)+overhead)
	b = append(b, msg...)
	if d.block > 1 {
		pad := d.block - (len(msg)+macSize)%d.block
		b = append(b, bytes.Repeat([]byte{byte(pad)}, pad)...)
	}
	b = append(b, d.mac(msg)...)
	if d.crypt != nil {
		d.crypt(b, b)
	}
	b = append(b, 0, 1)
	b = binary.BigEndian.AppendUint32(b, d.seq)
	d.seq++
	return b
}

// Unwrap checks and opens the next message from the other side. After an error the connection is of
// no more use.
func (p *Protector) Unwrap(wrapped []byte) ([]byte, error) {
	d := &p.in
	n := len(wrapped) - trailerSize
	if n < macSize || d.block > 1 && n%d.block != 0 {
		return nil, fmt.Errorf("%w: wrapped message of %d bytes", ErrAuthentication, len(wrapped))
	}
	if binary.BigEndian.Uint16(wrapped[n:]) != 1 || binary.BigEndian.Uint32(wrapped[n+2:]) != d.seq {
		return nil, fmt.Errorf("%w: wrapped message out of order", ErrAuthentication)
	}
	b := slices.Clone(wrapped[:n])
	if d.crypt != nil {
		d.crypt(b, b)
	}
	msg, mac := b[:n-macSize], b[n-macSize:]
	if d.block > 1 {
		if len(msg) == 0 {
			return nil, fmt.Errorf("%w: wrapped message without padding", ErrAuthentication)
		}
		pad := int(msg[len(msg)-1])
		if pad < 1 || pad > d.block || pad > len(msg) {
			return nil, fmt.Errorf("%w: bad padding", ErrAuthentication)
		}
		msg = msg[:len(msg)-pad]
	}
	if !hmac.Equal(mac, d.mac(msg)) {
		return nil, fmt.Errorf("%w: wrapped message was changed on its way", ErrAuthentication)
	}
	d.seq++
	return msg, nil
}

// mac signs msg as the next of its direction.
func (d *direction) mac(msg []byte) []byte {
	h := hmac.New(md5.New, d.key)
	h.Write(binary.BigEndian.AppendUint32(nil, d.seq))
	h.Write(msg)
	return h.Sum(nil)[:macSize]
}
