//go:build hadoop

// These tests need a real HDFS: TFOS_TEST_HADOOP_CONF is its configuration directory. They expect a
// NameNode that gives out tokens and DataNodes that ask for them without Kerberos, as
//
//	deploy/testcluster/cluster up --set dfs.namenode.delegation.token.always-use=true \
//	    --set dfs.block.access.token.enable=true --set hadoop.rpc.protection=authentication,integrity,privacy
//
// starts them, and that root is the superuser there.
package dfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/encoding/protowire"

	"tfos/internal/dfs"
	"tfos/internal/dfs/dfstest"
	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
)

// configuration is the cluster's, with key=value changes.
func configuration(t *testing.T, changes ...string) *conf.Conf {
	t.Helper()
	dir := os.Getenv("TFOS_TEST_HADOOP_CONF")
	if dir == "" {
		t.Fatal("TFOS_TEST_HADOOP_CONF names no configuration directory of a cluster")
	}
	c := conf.New(conf.Environment{})
	for _, name := range []string{"core-site.xml", "hdfs-site.xml"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(name, data, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetOverrides(changes); err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, o dfs.Options) dfs.FS {
	t.Helper()
	if o.Conf == nil {
		o.Conf = configuration(t)
	}
	o.Log = zaptest.NewLogger(t)
	f, err := dfs.Open(t.Context(), "", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

var directories atomic.Int64

// directory makes a directory of the filesystem's user, which goes when the test ends.
func directory(t *testing.T, f dfs.FS) string {
	t.Helper()
	dir := fmt.Sprintf("/tmp/dfs-test-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), directories.Add(1))
	if err := f.Mkdir(t.Context(), dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Remove(context.Background(), dir, true) })
	return dir
}

// smallBlocks make a file of some MiB span several.
const smallBlocks = 1 << 20

func TestHDFSKeepsTheContract(t *testing.T) {
	c := configuration(t, fmt.Sprintf("dfs.blocksize=%d", smallBlocks))
	dfstest.Run(t, func(t *testing.T) dfstest.Bed {
		ann := open(t, dfs.Options{Conf: c, User: "ann"})
		return dfstest.Bed{FS: ann, Dir: directory(t, ann), Stranger: open(t, dfs.Options{Conf: c, User: "bob"}), BlockSize: smallBlocks}
	})
}

func TestTokensUnderEveryProtection(t *testing.T) {
	owner := open(t, dfs.Options{User: "ann"})
	dt, err := dfs.DelegationToken(t.Context(), owner, "yarn")
	if err != nil {
		t.Fatal(err)
	}
	nameNode := strings.TrimPrefix(owner.URI("/"), "hdfs://")
	_, port, _ := net.SplitHostPort(strings.TrimSuffix(nameNode, "/"))
	if dt.Kind != token.KindHDFS || dt.Service != "127.0.0.1:"+port || len(dt.Password) == 0 {
		t.Fatalf("the token is %+v", dt)
	}
	for _, protection := range []string{"authentication", "integrity", "privacy"} {
		t.Run(protection, func(t *testing.T) {
			c := configuration(t, "hadoop.rpc.protection="+protection, fmt.Sprintf("dfs.blocksize=%d", smallBlocks))
			dfstest.Run(t, func(t *testing.T) dfstest.Bed {
				f := open(t, dfs.Options{Conf: c, User: "somebody-else", Tokens: []token.Token{dt}})
				return dfstest.Bed{FS: f, Dir: directory(t, f), BlockSize: smallBlocks}
			})
			f := open(t, dfs.Options{Conf: c, User: "somebody-else", Tokens: []token.Token{dt}})
			name := directory(t, f) + "/mine"
			write(t, f, name, []byte("x"))
			if info, err := f.Stat(t.Context(), name); err != nil || info.Owner != "ann" {
				t.Errorf("the file is %s's, %v, want the token's owner", info.Owner, err)
			}
		})
	}
	forged := dt
	forged.Password = append(token.Secret{^dt.Password[0]}, dt.Password[1:]...)
	f := open(t, dfs.Options{User: "ann", Tokens: []token.Token{forged}})
	if _, err := f.Stat(t.Context(), "/"); err == nil {
		t.Error("a token with a wrong password was let in")
	}
}

func write(t *testing.T, f dfs.FS, name string, content []byte) {
	t.Helper()
	w, err := f.Create(t.Context(), name, dfs.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// admin calls the NameNode as the superuser. A request is its fields: number, value, number, value…
func admin(t *testing.T, method string, fields ...any) []byte {
	t.Helper()
	answer, err := call(t, method, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func call(t *testing.T, method string, fields ...any) ([]byte, error) {
	t.Helper()
	var request []byte
	for i := 0; i < len(fields); i += 2 {
		number := protowire.Number(fields[i].(int))
		switch value := fields[i+1].(type) {
		case string:
			request = protowire.AppendString(protowire.AppendTag(request, number, protowire.BytesType), value)
		case []byte:
			request = protowire.AppendBytes(protowire.AppendTag(request, number, protowire.BytesType), value)
		case int:
			request = protowire.AppendVarint(protowire.AppendTag(request, number, protowire.VarintType), uint64(value))
		}
	}
	nameNode := strings.TrimPrefix(configuration(t).String("fs.defaultFS"), "hdfs://")
	client := rpc.NewClient(rpc.Options{Protocol: "org.apache.hadoop.hdfs.protocol.ClientProtocol", Addrs: []string{nameNode}, User: "root"})
	defer client.Close()
	return client.CallRaw(context.WithoutCancel(t.Context()), method, request) // clean-ups call it too
}

func TestQuota(t *testing.T) {
	f := open(t, dfs.Options{User: "ann"})
	dir := directory(t, f)
	const keep = 1<<63 - 1 // of setQuota: do not change
	admin(t, "setQuota", 1, dir, 2, keep, 3, 1<<20)
	w, err := f.Create(t.Context(), dir+"/large", dfs.CreateOptions{})
	if err == nil {
		_, err = w.Write(make([]byte, 4<<20))
		if err == nil {
			err = w.Close()
		} else {
			w.Abort()
		}
	}
	if !errors.Is(err, dfs.ErrQuota) {
		t.Errorf("beyond the space quota: %v, want ErrQuota", err)
	}
	if _, err := f.Stat(t.Context(), dir+"/large"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file that did not fit is there: %v", err)
	}
	admin(t, "setQuota", 1, dir, 2, 1, 3, keep)
	if err := f.Mkdir(t.Context(), dir+"/one-too-many", 0o755); !errors.Is(err, dfs.ErrQuota) {
		t.Errorf("beyond the quota of names: %v, want ErrQuota", err)
	}
}

func TestSafeMode(t *testing.T) {
	const leave, enter = 1, 2
	f := open(t, dfs.Options{User: "ann"})
	dir := directory(t, f)
	write(t, f, dir+"/file", []byte("x"))
	admin(t, "setSafeMode", 1, enter)
	t.Cleanup(func() { admin(t, "setSafeMode", 1, leave) })
	if _, err := f.Create(t.Context(), dir+"/new", dfs.CreateOptions{}); !errors.Is(err, dfs.ErrSafeMode) {
		t.Errorf("create: %v, want ErrSafeMode", err)
	}
	if err := f.Mkdir(t.Context(), dir+"/new", 0o755); !errors.Is(err, dfs.ErrSafeMode) {
		t.Errorf("mkdir: %v, want ErrSafeMode", err)
	}
	if _, err := f.Stat(t.Context(), dir+"/file"); err != nil {
		t.Errorf("safe mode keeps a file from being looked at: %v", err)
	}
	admin(t, "setSafeMode", 1, leave)
}

// A block that no DataNode has room for is refused as if the disks were full.
func TestNoSpace(t *testing.T) {
	f := open(t, dfs.Options{Conf: configuration(t, "dfs.blocksize=100t"), User: "ann"})
	dir := directory(t, f)
	w, err := f.Create(t.Context(), dir+"/large", dfs.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write([]byte("x"))
	if !errors.Is(err, dfs.ErrNoSpace) {
		t.Errorf("write: %v, want ErrNoSpace", err)
	}
	if err := w.Close(); !errors.Is(err, dfs.ErrNoSpace) {
		t.Errorf("close after a failed write: %v, want the same error", err)
	}
	if err := f.Remove(t.Context(), dir, false); err != nil {
		t.Errorf("something was left behind: %v", err)
	}
}

func TestErasureCodedFilesAreRefused(t *testing.T) {
	const policy = "XOR-2-1-1024k"
	f := open(t, dfs.Options{User: "root"})
	dir := directory(t, f)
	if _, err := call(t, "enableErasureCodingPolicy", 1, policy); errors.Is(err, rpc.ErrNoSuchMethod) {
		return // Hadoop 2 has no erasure coding
	} else if err != nil {
		t.Fatal(err)
	}
	admin(t, "setErasureCodingPolicy", 1, dir, 2, policy)
	if _, err := f.Create(t.Context(), dir+"/new", dfs.CreateOptions{}); !errors.Is(err, dfs.ErrErasureCoded) {
		t.Errorf("create: %v, want ErrErasureCoded", err)
	}
	if list, err := f.List(t.Context(), dir); err != nil || len(list) != 0 {
		t.Errorf("the refused file left %v, %v", list, err)
	}

	// An empty file of the kind, as a Java client would make it.
	permission := []byte{1 << 3, 0o644&0x7f | 0x80, 0o644 >> 7}
	admin(t, "create", 1, dir+"/theirs", 2, permission, 3, "test", 4, 1, 5, 0, 6, 1, 7, 1<<20)
	admin(t, "complete", 1, dir+"/theirs", 2, "test")
	if _, err := f.Stat(t.Context(), dir+"/theirs"); err != nil {
		t.Errorf("stat: %v", err)
	}
	if _, err := f.Open(t.Context(), dir+"/theirs"); !errors.Is(err, dfs.ErrErasureCoded) {
		t.Errorf("open: %v, want ErrErasureCoded", err)
	}
	if _, err := f.Append(t.Context(), dir+"/theirs"); !errors.Is(err, dfs.ErrErasureCoded) {
		t.Errorf("append: %v, want ErrErasureCoded", err)
	}
}

// Two writers do not append to one file.
func TestAppendTwice(t *testing.T) {
	f := open(t, dfs.Options{User: "ann"})
	name := directory(t, f) + "/journal"
	write(t, f, name, []byte("one\n"))
	first, err := f.Append(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Append(t.Context(), name); !errors.Is(err, dfs.ErrBusy) {
		t.Errorf("second append: %v, want ErrBusy", err)
	}
	if _, err := first.Write([]byte("two\n")); err != nil {
		t.Fatal(err)
	}
	first.Abort() // of what is appended nothing is taken back, and the next writer can go on
	again, err := f.Append(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Write([]byte("three\n")); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, f, name); string(got) != "one\ntwo\nthree\n" {
		t.Errorf("the journal holds %q", got)
	}
}

// What a writer has sent to the DataNodes can be read before the NameNode knows of it.
func TestFileThatIsBeingWritten(t *testing.T) {
	f := open(t, dfs.Options{User: "ann"})
	name := directory(t, f) + "/growing"
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	write(t, f, name, content[:1000])
	w, err := f.Append(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(content[1000:]); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		got := read(t, f, name)
		if !bytes.HasPrefix(content, got) || len(got) < 1000 {
			t.Fatalf("%d bytes that are not what was written", len(got))
		}
		if len(got) > 1000 {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nothing of what was sent can be read")
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, f, name), content) {
		t.Error("the file is not what was written")
	}
}

func read(t *testing.T, f dfs.FS, name string) []byte {
	t.Helper()
	file, err := f.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A nameservice whose first NameNode is down works, and its name is in URIs and tokens.
func TestNameservice(t *testing.T) {
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := nowhere.Addr().String()
	nowhere.Close()
	alive := strings.TrimPrefix(configuration(t).String("fs.defaultFS"), "hdfs://")
	c := configuration(t, "fs.defaultFS=hdfs://prod", "dfs.nameservices=other,prod", "dfs.ha.namenodes.prod=nn1,nn2",
		"dfs.namenode.rpc-address.prod.nn1="+dead, "dfs.namenode.rpc-address.prod.nn2="+alive)
	ann := open(t, dfs.Options{Conf: c, User: "ann"})
	if uri := ann.URI("/a"); uri != "hdfs://prod/a" {
		t.Errorf("URI %s", uri)
	}
	dt, err := dfs.DelegationToken(t.Context(), ann, "yarn")
	if err != nil || dt.Service != "ha-hdfs:prod" {
		t.Fatalf("token for %q, %v, want ha-hdfs:prod", dt.Service, err)
	}
	byToken := open(t, dfs.Options{Conf: c, Tokens: []token.Token{dt}})
	name := directory(t, byToken) + "/file"
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	write(t, byToken, name, content)
	if !bytes.Equal(read(t, byToken, name), content) {
		t.Error("the file came back changed")
	}
}

// TestDataNodesThatDie kills one DataNode after the other under files that are being written, one
// of them in large pieces, one record by record with a sync after each, and one that is left alone
// meanwhile. Each of them goes on and has all that was written. TFOS_TEST_HADOOP_CLUSTER is
// deploy/testcluster/cluster for the cluster, which has three DataNodes and as many copies of each
// block.
func TestDataNodesThatDie(t *testing.T) {
	cluster := strings.Fields(os.Getenv("TFOS_TEST_HADOOP_CLUSTER"))
	if len(cluster) == 0 {
		t.Skip("TFOS_TEST_HADOOP_CLUSTER is not set: the cluster is not to be broken")
	}
	script := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), cluster[0], append(cluster[1:len(cluster):len(cluster)], args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	f := open(t, dfs.Options{Conf: configuration(t, fmt.Sprintf("dfs.blocksize=%d", 8*smallBlocks)), User: "ann"})
	dir := directory(t, f)
	piece := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for i, node := range []string{"dn1", "dn2", "dn3"} {
		start := func(name string) (string, dfs.Writer) {
			name = fmt.Sprintf("%s/%s-%d", dir, name, i)
			write(t, f, name, nil)
			w, err := f.Append(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return name, w
		}
		idle, idler := start("idle")
		if _, err := idler.Write([]byte("before ")); err != nil {
			t.Fatal(err)
		}
		if err := idler.Sync(); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var begun, writing sync.WaitGroup
		goOn := func(kind string, piece []byte, sync bool) func() {
			name, w := start(kind)
			pieces := 0
			begun.Add(1)
			writing.Go(func() {
				for {
					_, err := w.Write(piece)
					if err == nil && sync {
						err = w.Sync()
					}
					if err != nil {
						t.Errorf("%s: %v", name, err)
						w.Abort()
						if pieces < 3 {
							begun.Done()
						}
						return
					}
					if pieces++; pieces == 3 {
						begun.Done()
					}
					select {
					case <-stop:
						if err := w.Close(); err != nil {
							t.Errorf("%s: %v", name, err)
						}
						return
					default:
					}
				}
			})
			return func() {
				if got := read(t, f, name); !bytes.Equal(got, bytes.Repeat(piece, pieces)) {
					t.Errorf("%s has %d bytes that are not the %d pieces of %d that were written", name, len(got), pieces, len(piece))
				}
			}
		}
		checks := []func(){goOn("large", piece, false), goOn("records", []byte("a record of odd length\n"), true), goOn("pieces", piece[:100_001], true)}
		begun.Wait()
		script("kill", node)
		if _, err := idler.Write([]byte("and after")); err != nil {
			t.Error(err)
		}
		if err := idler.Sync(); err != nil {
			t.Error(err)
		}
		if got := read(t, f, idle); string(got) != "before and after" {
			t.Errorf("%s holds %q", idle, got)
		}
		close(stop)
		writing.Wait()
		if err := idler.Close(); err != nil {
			t.Error(err)
		}
		for _, check := range checks {
			check()
		}
		script("start", node)
		script("wait")
	}
}
