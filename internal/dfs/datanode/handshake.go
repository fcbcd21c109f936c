package datanode

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/token"
	"tfos/internal/hadoop/wire"
)

// magic announces a handshake where a DataNode expects an operation.
const magic = 0xDEADBEEF

// maxWrapped bounds a message that SASL has wrapped, in bytes.
const maxWrapped = 1 << 20

// handshake shows the DataNode that we know the password of a block's token, or the NameNode's key,
// and agrees on what protects the connection from then on:
//
//	we:  magic, empty message            it: challenge
//	we:  response [, AES wanted]         it: its proof [, keys for AES, wrapped]
//
// Each is a varint length and a DataTransferEncryptorMessageProto.
func (c *Client) handshake(ctx context.Context, conn *conn, block *pb.TokenProto) error {
	name, password := base64.StdEncoding.EncodeToString(block.GetIdentifier()), block.GetPassword()
	if c.o.Key != nil {
		key, err := c.o.Key(ctx)
		if err != nil {
			return err
		}
		name = fmt.Sprintf("%d %s %s", int32(key.GetKeyId()), key.GetBlockPoolId(), base64.StdEncoding.EncodeToString(key.GetNonce()))
		password = key.GetEncryptionKey()
	}
	var nonce [24]byte
	_, _ = rand.Read(nonce[:]) // never fails
	client := sasl.NewClient(sasl.ClientOptions{
		Username: name, Password: token.Secret(base64.StdEncoding.AppendEncode(nil, password)),
		URI: "hdfs/0", Allowed: c.o.Allowed, Nonce: base64.StdEncoding.EncodeToString(nonce[:]),
	})
	if err := conn.step(); err != nil {
		return err
	}
	challenge, err := conn.exchange(binary.BigEndian.AppendUint32(nil, magic), nil, nil)
	if err != nil {
		return err
	}
	response, err := client.Respond(challenge.GetPayload())
	if err != nil {
		return err
	}
	var wanted []*pb.CipherOptionProto
	if c.o.AES && client.QOP() == sasl.AuthConf {
		wanted = []*pb.CipherOptionProto{{Suite: pb.CipherSuiteProto_AES_CTR_NOPADDING.Enum()}}
	}
	final, err := conn.exchange(nil, response, wanted)
	if err != nil {
		return err
	}
	if err := client.Verify(final.GetPayload()); err != nil {
		return err
	}
	protector, err := client.Protector()
	if err != nil || protector == nil {
		return err
	}
	if options := final.GetCipherOption(); len(options) > 0 {
		stream, err := newAESStream(conn.socket, protector, options[0])
		if err == nil {
			conn.protect(stream)
		}
		return err
	}
	conn.protect(&wrapped{socket: conn.socket, protector: protector})
	return nil
}

// exchange sends a message of the handshake and reads the next.
func (c *conn) exchange(head, payload []byte, wanted []*pb.CipherOptionProto) (*pb.DataTransferEncryptorMessageProto, error) {
	m, err := proto.Marshal(&pb.DataTransferEncryptorMessageProto{
		Status: pb.DataTransferEncryptorMessageProto_SUCCESS.Enum(), Payload: payload, CipherOption: wanted,
	})
	if err != nil {
		return nil, err
	}
	if err := c.send(head, m); err != nil {
		return nil, err
	}
	answer := &pb.DataTransferEncryptorMessageProto{}
	if err := receive(c.r, answer); err != nil {
		return nil, noEOF(err)
	}
	if s := answer.GetStatus(); s != pb.DataTransferEncryptorMessageProto_SUCCESS {
		return nil, &RefusedError{s.String(), answer.GetMessage()}
	}
	return answer, nil
}

// wrapped is a connection on which each message is wrapped by SASL, behind its length as a uint32.
type wrapped struct {
	socket    io.ReadWriter
	protector *sasl.Protector
	rest      []byte // unwrapped
}

func (w *wrapped) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		message, err := wire.ReadFrame(w.socket, maxWrapped)
		if err != nil {
			return 0, err
		}
		if w.rest, err = w.protector.Unwrap(message); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *wrapped) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		part := p[sent:min(len(p), sent+w.protector.Max())]
		message := w.protector.Wrap(part)
		frame := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(message)), uint32(len(message))), message...)
		if _, err := w.socket.Write(frame); err != nil {
			return sent, err
		}
		sent += len(part)
	}
	return len(p), nil
}

// aesStream is a connection that is encrypted by AES in counter mode, a key for each direction.
type aesStream struct {
	cipher.StreamReader
	cipher.StreamWriter
}

func newAESStream(socket io.ReadWriter, protector *sasl.Protector, o *pb.CipherOptionProto) (aesStream, error) {
	if s := o.GetSuite(); s != pb.CipherSuiteProto_AES_CTR_NOPADDING {
		return aesStream{}, fmt.Errorf("the DataNode chose the cipher %s, which was not asked for", s)
	}
	out, err := unwrapStream(protector, o.GetInKey(), o.GetInIv())
	if err != nil {
		return aesStream{}, err
	}
	in, err := unwrapStream(protector, o.GetOutKey(), o.GetOutIv())
	if err != nil {
		return aesStream{}, err
	}
	return aesStream{cipher.StreamReader{S: in, R: socket}, cipher.StreamWriter{S: out, W: socket}}, nil
}

func unwrapStream(protector *sasl.Protector, wrappedKey, iv []byte) (cipher.Stream, error) {
	key, err := protector.Unwrap(wrappedKey)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(iv) != block.BlockSize() {
		return nil, fmt.Errorf("initial vector of %d bytes", len(iv))
	}
	return cipher.NewCTR(block, iv), nil
}
