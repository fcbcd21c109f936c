package dfs

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
)

// fakeNameNode answers each method as the test wants, over real Hadoop RPC.
type fakeNameNode struct {
	addr    string
	answers map[string]func(request []byte) (proto.Message, error)

	mu     sync.Mutex
	called []string // guarded by mu
}

func startNameNode(t *testing.T, answers map[string]func([]byte) (proto.Message, error)) *fakeNameNode {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &fakeNameNode{addr: listener.Addr().String(), answers: answers}
	server := rpc.NewServer(rpc.ServerOptions{Listener: listener})
	server.Register(clientProtocol, 1, func(_ context.Context, _ rpc.Caller, method string, request []byte) (proto.Message, error) {
		n.mu.Lock()
		n.called = append(n.called, method)
		n.mu.Unlock()
		if answer := n.answers[method]; answer != nil {
			return answer(request)
		}
		return nil, rpc.NoSuchMethod(clientProtocol, method)
	})
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return n
}

func (n *fakeNameNode) calls(method string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, m := range n.called {
		if m == method {
			count++
		}
	}
	return count
}

func (n *fakeNameNode) open(t *testing.T, settings ...string) *HDFS {
	t.Helper()
	return openFake(t, "hdfs://"+n.addr, settings...)
}

func openFake(t *testing.T, uri string, settings ...string) *HDFS {
	t.Helper()
	c := conf.New(conf.Environment{})
	if err := c.SetOverrides(settings); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), uri, Options{Conf: c, User: "ann", Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f.(*HDFS)
}

func answer(m proto.Message) func([]byte) (proto.Message, error) {
	return func([]byte) (proto.Message, error) { return m, nil }
}

func refuse(class, message string) func([]byte) (proto.Message, error) {
	return func([]byte) (proto.Message, error) { return nil, &rpc.JavaError{Class: class, Message: message} }
}

// file is the status of a file of 5 bytes.
func file(change func(*pb.HdfsFileStatusProto)) *pb.HdfsFileStatusProto {
	s := &pb.HdfsFileStatusProto{
		FileType: pb.HdfsFileStatusProto_IS_FILE.Enum(), Path: []byte{}, Length: proto.Uint64(5),
		Permission: &pb.FsPermissionProto{Perm: proto.Uint32(0o644)}, Owner: proto.String("ann"), Group: proto.String("users"),
		ModificationTime: proto.Uint64(1700000000123), AccessTime: proto.Uint64(0),
	}
	if change != nil {
		change(s)
	}
	return s
}

var (
	zone = &pb.FileEncryptionInfoProto{
		Suite: pb.CipherSuiteProto_AES_CTR_NOPADDING.Enum(), CryptoProtocolVersion: pb.CryptoProtocolVersionProto_ENCRYPTION_ZONES.Enum(),
		Key: []byte("k"), Iv: []byte("i"), KeyName: proto.String("key"), EzKeyVersionName: proto.String("key@0"),
	}
	striped = &pb.ErasureCodingPolicyProto{Id: proto.Uint32(1)}
)

func serverDefaults(encrypt bool) *pb.GetServerDefaultsResponseProto {
	return &pb.GetServerDefaultsResponseProto{ServerDefaults: &pb.FsServerDefaultsProto{
		BlockSize: proto.Uint64(128 << 20), BytesPerChecksum: proto.Uint32(512), WritePacketSize: proto.Uint32(65536),
		Replication: proto.Uint32(3), FileBufferSize: proto.Uint32(4096), EncryptDataTransfer: proto.Bool(encrypt),
	}}
}

func located(change func(*pb.LocatedBlocksProto)) *pb.GetBlockLocationsResponseProto {
	l := &pb.LocatedBlocksProto{FileLength: proto.Uint64(5), UnderConstruction: proto.Bool(false), IsLastBlockComplete: proto.Bool(true)}
	if change != nil {
		change(l)
	}
	return &pb.GetBlockLocationsResponseProto{Locations: l}
}

// A file whose bytes we would get wrong is refused, whichever of the NameNode's answers tells: each
// version of Hadoop has its own ways.
func TestEncryptedAndStripedFilesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		status *pb.HdfsFileStatusProto
		blocks *pb.GetBlockLocationsResponseProto
		want   error
	}{
		{"encrypted, by its blocks", file(nil), located(func(l *pb.LocatedBlocksProto) { l.FileEncryptionInfo = zone }), ErrEncrypted},
		{"striped, by its blocks", file(nil), located(func(l *pb.LocatedBlocksProto) { l.EcPolicy = striped }), ErrErasureCoded},
		{"encrypted, by its status", file(func(s *pb.HdfsFileStatusProto) { s.FileEncryptionInfo = zone }), located(nil), ErrEncrypted},
		{"striped, by its status", file(func(s *pb.HdfsFileStatusProto) { s.EcPolicy = striped }), located(nil), ErrErasureCoded},
		{"encrypted, by a flag", file(func(s *pb.HdfsFileStatusProto) { s.Flags = proto.Uint32(2) }), located(nil), ErrEncrypted},
		{"striped, by a flag", file(func(s *pb.HdfsFileStatusProto) { s.Flags = proto.Uint32(4) }), located(nil), ErrErasureCoded},
		{"encrypted, by Hadoop 2's flag", file(func(s *pb.HdfsFileStatusProto) { s.Permission.Perm = proto.Uint32(0o644 | 1<<13) }), located(nil), ErrEncrypted},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := startNameNode(t, map[string]func([]byte) (proto.Message, error){
				"getServerDefaults": answer(serverDefaults(false)),
				"getFileInfo":       answer(&pb.GetFileInfoResponseProto{Fs: c.status}),
				"getBlockLocations": answer(c.blocks),
				"append":            answer(&pb.AppendResponseProto{Stat: c.status}),
			})
			h := n.open(t)
			if _, err := h.Open(t.Context(), "/zone/file"); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "/zone/file") {
				t.Errorf("open: %v, want %v", err, c.want)
			}
			if _, err := h.Append(t.Context(), "/zone/file"); c.blocks.GetLocations().GetFileEncryptionInfo() == nil &&
				c.blocks.GetLocations().GetEcPolicy() == nil && !errors.Is(err, c.want) {
				t.Errorf("append: %v, want %v", err, c.want)
			}
			if info, err := h.Stat(t.Context(), "/zone/file"); err != nil || info.Mode != 0o644 || info.Size != 5 {
				t.Errorf("it can still be looked at: %+v, %v", info, err)
			}
		})
	}
}

// What the answer to create says of the new file is known only once it is there: it has to go
// again.
func TestFilesAreNotCreatedInAnEncryptionZone(t *testing.T) {
	for _, c := range []struct {
		name    string
		create  func([]byte) (proto.Message, error)
		removed int
	}{
		{"by its status", answer(&pb.CreateResponseProto{Fs: file(func(s *pb.HdfsFileStatusProto) { s.FileEncryptionInfo = zone })}), 1},
		{"by the NameNode", refuse("org.apache.hadoop.hdfs.UnknownCryptoProtocolVersionException", "No crypto protocol versions provided"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := startNameNode(t, map[string]func([]byte) (proto.Message, error){
				"getServerDefaults": answer(serverDefaults(false)),
				"getFileInfo":       answer(&pb.GetFileInfoResponseProto{}),
				"create":            c.create,
				"delete":            answer(&pb.DeleteResponseProto{Result: proto.Bool(true)}),
			})
			if _, err := n.open(t).Create(t.Context(), "/zone/new", CreateOptions{}); !errors.Is(err, ErrEncrypted) {
				t.Errorf("create: %v, want ErrEncrypted", err)
			}
			if got := n.calls("delete"); got != c.removed {
				t.Errorf("%d files were removed, want %d", got, c.removed)
			}
		})
	}
}

func TestExceptionsBecomeOurErrors(t *testing.T) {
	for _, c := range []struct {
		class, message string
		want           error
	}{
		{"java.io.FileNotFoundException", "File does not exist: /x", fs.ErrNotExist},
		{"org.apache.hadoop.fs.FileAlreadyExistsException", "/x", fs.ErrExist},
		{"org.apache.hadoop.security.AccessControlException", "Permission denied: user=ann", fs.ErrPermission},
		{"org.apache.hadoop.fs.PathIsNotEmptyDirectoryException", "/x is non empty", ErrNotEmpty},
		{"org.apache.hadoop.fs.ParentNotDirectoryException", "/x", ErrNotDirectory},
		{"org.apache.hadoop.hdfs.server.namenode.SafeModeException", "Cannot mkdir", ErrSafeMode},
		{"org.apache.hadoop.hdfs.protocol.NSQuotaExceededException", "The NameSpace quota", ErrQuota},
		{"org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", "The DiskSpace quota", ErrQuota},
		{"org.apache.hadoop.hdfs.protocol.AlreadyBeingCreatedException", "Failed to APPEND_FILE", ErrBusy},
		{"org.apache.hadoop.fs.InvalidPathException", "Invalid path name", fs.ErrInvalid},
		{"org.apache.hadoop.hdfs.protocol.FSLimitException$PathComponentTooLongException", "too long", fs.ErrInvalid},
	} {
		n := startNameNode(t, map[string]func([]byte) (proto.Message, error){"mkdirs": refuse(c.class, c.message)})
		err := n.open(t).Mkdir(t.Context(), "/x", 0o755)
		if !errors.Is(err, c.want) {
			t.Errorf("%s became %v, want %v", c.class, err, c.want)
		}
		if err != nil && (!strings.Contains(err.Error(), c.message) || !strings.Contains(err.Error(), n.addr+"/x")) {
			t.Errorf("%q keeps neither the NameNode's words nor the name", err)
		}
	}
	block := &rpc.RemoteError{Method: "addBlock", Class: "java.io.IOException", Message: "could only be written to 0 of the 1 minReplication nodes"}
	if err := hdfsError(block); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a block that no DataNode takes is %v, want ErrNoSpace", err)
	}
	starting := &rpc.RemoteError{Method: "mkdirs", Class: "org.apache.hadoop.ipc.RetriableException", Message: safeModeException + ": Cannot create"}
	if err := hdfsError(starting); !errors.Is(err, ErrSafeMode) {
		t.Errorf("a NameNode that starts in safe mode says %v, want ErrSafeMode", err)
	}
	other := &rpc.RemoteError{Method: "mkdirs", Class: "java.io.IOException", Message: "disk on fire"}
	if err := hdfsError(other); errors.Is(err, ErrNoSpace) || err != error(other) {
		t.Errorf("an exception that means nothing to us became %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Run("deadline", func(t *testing.T) {
		o := Options{User: "ann", Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { // a firewall that drops
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		f, err := Open(t.Context(), "hdfs://127.0.0.1:8020", o)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := f.Stat(ctx, "/x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stat: %v, want DeadlineExceeded", err)
		}
		if _, err := f.Create(ctx, "/x", CreateOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("create: %v, want DeadlineExceeded", err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		f, err := Open(t.Context(), "hdfs://127.0.0.1:8020", Options{User: "ann", Timeout: 300 * time.Millisecond,
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Stat(t.Context(), "/x"); !errors.Is(err, ErrUnreachable) {
			t.Errorf("stat: %v, want ErrUnreachable", err)
		}
	})
}

func TestStandbyIsLeftForTheActiveNameNode(t *testing.T) {
	standby := startNameNode(t, map[string]func([]byte) (proto.Message, error){
		"getFileInfo": refuse("org.apache.hadoop.ipc.StandbyException", "Operation category READ is not supported in state standby"),
	})
	active := startNameNode(t, map[string]func([]byte) (proto.Message, error){
		"getFileInfo":       answer(&pb.GetFileInfoResponseProto{Fs: file(nil)}),
		"getBlockLocations": answer(located(nil)),
		"getServerDefaults": answer(serverDefaults(false)),
	})
	h := openFake(t, "hdfs://Prod", "dfs.nameservices=prod", "dfs.ha.namenodes.prod=a,b",
		"dfs.namenode.rpc-address.prod.a="+standby.addr, "dfs.namenode.rpc-address.prod.b="+active.addr)
	if info, err := h.Stat(t.Context(), "/file"); err != nil || !info.ModTime.Equal(time.UnixMilli(1700000000123)) {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if h.URI("/a b") != "hdfs://prod/a b" || h.services[0] != "ha-hdfs:prod" {
		t.Errorf("URI %s, token service %q", h.URI("/a b"), h.services[0])
	}
}

func TestAuthorities(t *testing.T) {
	settings := []string{"dfs.nameservices=ns1, ns2", "dfs.ha.namenodes.ns1=a,b", "dfs.namenode.rpc-address.ns1.a=a:9000",
		"dfs.namenode.rpc-address.ns1.b=b", "dfs.namenode.rpc-address.ns2=c:9000"}
	c := conf.New(conf.Environment{})
	if err := c.SetOverrides(settings); err != nil {
		t.Fatal(err)
	}
	for authority, want := range map[string]string{
		"ns1": "ns1 a:9000 b:8020", "NS1": "ns1 a:9000 b:8020", "ns2": "ns2 c:9000", "nn": "nn:8020 nn:8020", "nn:9000": "nn:9000 nn:9000",
		"B": "B:8020 a:9000 b:8020", // the one of a nameservice that may be in standby
	} {
		got, err := nameNodes(authority, c)
		if text := got.authority + " " + strings.Join(got.addrs, " "); err != nil || text != want {
			t.Errorf("%s is %s, %v, want %s", authority, text, err, want)
		}
	}
	c.Set("dfs.ha.namenodes.ns2", "x")
	if _, err := nameNodes("ns2", c); err == nil || !strings.Contains(err.Error(), "dfs.namenode.rpc-address.ns2.x") {
		t.Errorf("a NameNode without an address: %v, want the key that is missing", err)
	}
}
