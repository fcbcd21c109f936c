package dfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/dfs/datanode"
	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/hadoop/uri"
)

const (
	clientProtocol = "org.apache.hadoop.hdfs.protocol.ClientProtocol"
	defaultPort    = "8020"
)

// HDFS is one HDFS: a NameNode, or the NameNodes of one nameservice.
//
// What is read comes from one replica of each block (see replicas), and what is written goes
// through all of them (see openBlock).
type HDFS struct {
	authority string // as URIs have it
	home      string
	user      string
	nameNode  *rpc.Client
	dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	timeout   time.Duration // of each step of moving data
	patience  time.Duration // of a call to the NameNode
	conf      *conf.Conf
	services  []string // texts that a token for it may bear; the first is the one to write
	log       *zap.Logger

	byHostname bool // DataNodes are reached by name
	outcasts   outcasts

	mu       sync.Mutex
	defaults *pb.FsServerDefaultsProto // guarded by mu; nil until it is asked for
	blocks   *replicas                 // guarded by mu; nil until a file is opened
	packed   *datanode.Packets         // guarded by mu; nil until a file is opened for writing
}

func openHDFS(ctx context.Context, authority string, o Options) (*HDFS, error) {
	useIP, err := o.Conf.Bool("hadoop.security.token.service.use_ip", true)
	if err != nil {
		return nil, err
	}
	byHostname, err := o.Conf.Bool("dfs.client.use.datanode.hostname", false)
	if err != nil {
		return nil, err
	}
	nodes, err := nameNodes(authority, o.Conf)
	if err != nil {
		return nil, err
	}
	var show token.Token
	services := nodes.services(ctx, useIP)
	for _, t := range o.Tokens {
		if t.Kind == token.KindHDFS && slices.Contains(services, t.Service) {
			show = t
		}
	}
	return &HDFS{
		authority: nodes.authority,
		home:      path.Join(cmp.Or(o.Conf.String("dfs.user.home.dir.prefix"), "/user"), o.User),
		user:      o.User,
		dial:      o.Dial,
		timeout:   o.Timeout,
		patience:  o.Timeout + o.Patience,
		conf:      o.Conf,
		services:  services,
		log:       o.Log,

		byHostname: byHostname,
		nameNode: rpc.NewClient(rpc.Options{
			Protocol:   clientProtocol,
			Addrs:      nodes.addrs,
			User:       o.User,
			Token:      func() (token.Token, bool) { return show, !show.IsZero() },
			Protection: o.Conf.List("hadoop.rpc.protection"),
			Dial:       o.Dial,
			Timeout:    o.Timeout + o.Patience,
			Retry:      rpc.Retry{Patience: o.Patience},
			Log:        o.Log,
		}),
	}, nil
}

// endpoints are the NameNodes of one authority.
type endpoints struct {
	authority string   // "host:port" or a nameservice
	service   string   // the nameservice that it is, or that a NameNode at this host:port belongs to; empty: none
	addrs     []string // host:port each
}

// nameNodes finds the addresses of an authority. One that dfs.nameservices lists is a nameservice,
// any other is host[:port]. That of one NameNode of a nameservice leads to all of them: it may be
// the one in standby.
func nameNodes(authority string, c *conf.Conf) (endpoints, error) {
	names := slices.Concat(c.List("dfs.nameservices"), c.List("dfs.internal.nameservices"))
	for _, service := range names {
		if strings.EqualFold(service, authority) {
			return serviceNodes(service, c)
		}
	}
	authority = withPort(authority)
	for _, service := range names {
		nodes, err := serviceNodes(service, c)
		if err == nil && slices.ContainsFunc(nodes.addrs, func(a string) bool { return strings.EqualFold(a, authority) }) {
			nodes.authority = authority
			return nodes, nil
		}
	}
	return endpoints{authority: authority, addrs: []string{authority}}, nil
}

// serviceNodes finds the addresses of a nameservice.
func serviceNodes(service string, c *conf.Conf) (endpoints, error) {
	keys := []string{"dfs.namenode.rpc-address." + service}
	if ids := c.List("dfs.ha.namenodes." + service); len(ids) > 0 {
		keys = keys[:0]
		for _, id := range ids {
			keys = append(keys, "dfs.namenode.rpc-address."+service+"."+id)
		}
	}
	found := endpoints{authority: service, service: service}
	for _, key := range keys {
		addr := c.String(key)
		if addr == "" {
			return endpoints{}, fmt.Errorf("nameservice %s: the configuration has no %s", service, key)
		}
		found.addrs = append(found.addrs, withPort(addr))
	}
	return found, nil
}

// withPort is a NameNode's address with its port.
func withPort(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), defaultPort)
}

// services are the texts that a token for these NameNodes may bear, first the one that Java clients
// write and look for: "ha-hdfs:" and the nameservice, else ip:port, or host:port if useIP is off.
func (e endpoints) services(ctx context.Context, useIP bool) []string {
	if e.authority == e.service {
		return []string{"ha-hdfs:" + e.service}
	}
	addr := e.authority
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return []string{addr} // fails at the dial
	}
	var list []string
	for _, network := range []string{"ip4", "ip6"} {
		ips, _ := net.DefaultResolver.LookupIP(ctx, network, host) // a host that is unknown here fails at the dial
		for _, ip := range ips {
			list = append(list, net.JoinHostPort(ip.String(), port))
		}
	}
	if useIP {
		return append(list, addr)
	}
	return append([]string{addr}, list...)
}

// call makes one call to the NameNode and makes its error ours. All of ours may be sent again: they
// change nothing, or the NameNode's retry cache knows them.
func (h *HDFS) call(ctx context.Context, op, name, method string, req, resp proto.Message) error {
	if err := ctx.Err(); err != nil {
		return h.fail(op, name, err)
	}
	return h.fail(op, name, h.nameNode.Call(ctx, method, req, resp, rpc.Idempotent()))
}

// fail names the file that an error is about.
func (h *HDFS) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: "hdfs://" + h.authority + name, Err: hdfsError(err)}
}

// status asks for a file or directory.
func (h *HDFS) status(ctx context.Context, op, name string) (*pb.HdfsFileStatusProto, error) {
	resp := &pb.GetFileInfoResponseProto{}
	err := h.call(ctx, op, name, "getFileInfo", &pb.GetFileInfoRequestProto{Src: &name}, resp)
	if errors.Is(err, fs.ErrPermission) && h.belowFile(ctx, name) {
		return nil, h.fail(op, name, ErrNotDirectory)
	}
	if err != nil {
		return nil, err
	}
	if resp.GetFs() == nil {
		return nil, h.fail(op, name, fs.ErrNotExist)
	}
	return resp.GetFs(), nil
}

// belowFile reports whether something above name is a file. The NameNode has one exception for that
// and for what the user may not see.
func (h *HDFS) belowFile(ctx context.Context, name string) bool {
	for name != "/" {
		name = path.Dir(name)
		resp := &pb.GetFileInfoResponseProto{}
		if h.call(ctx, "stat", name, "getFileInfo", &pb.GetFileInfoRequestProto{Src: &name}, resp) == nil {
			return resp.GetFs() != nil && resp.GetFs().GetFileType() != pb.HdfsFileStatusProto_IS_DIR
		}
	}
	return false
}

// Stat implements FS.
func (h *HDFS) Stat(ctx context.Context, name string) (Info, error) {
	name, err := cleanName("stat", name)
	if err != nil {
		return Info{}, err
	}
	status, err := h.status(ctx, "stat", name)
	if err != nil {
		return Info{}, err
	}
	return infoOf(name, status), nil
}

// List implements FS.
func (h *HDFS) List(ctx context.Context, dir string) ([]Info, error) {
	dir, err := cleanName("list", dir)
	if err != nil {
		return nil, err
	}
	return h.list(ctx, "list", dir, func(base string) bool { return !isTemporary(base) })
}

// list describes those entries of a directory whose base names are wanted.
func (h *HDFS) list(ctx context.Context, op, dir string, wanted func(base string) bool) ([]Info, error) {
	var list []Info
	for after := []byte{}; ; {
		resp := &pb.GetListingResponseProto{}
		req := &pb.GetListingRequestProto{Src: &dir, StartAfter: after, NeedLocation: proto.Bool(false)}
		if err := h.call(ctx, op, dir, "getListing", req, resp); err != nil {
			return nil, err
		}
		if resp.GetDirList() == nil {
			return nil, h.fail(op, dir, fs.ErrNotExist)
		}
		page := resp.GetDirList().GetPartialListing()
		for _, entry := range page {
			base := string(entry.GetPath())
			if base == "" { // a file lists itself
				return nil, h.fail(op, dir, ErrNotDirectory)
			}
			if wanted(base) {
				list = append(list, infoOf(path.Join(dir, base), entry))
			}
		}
		if resp.GetDirList().GetRemainingEntries() == 0 || len(page) == 0 {
			// Java's bytes are signed: the NameNode's order is another beyond ASCII.
			slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
			return list, nil
		}
		after = page[len(page)-1].GetPath()
	}
}

// Mkdir implements FS.
func (h *HDFS) Mkdir(ctx context.Context, dir string, mode fs.FileMode) error {
	dir, err := cleanName("mkdir", dir)
	if err != nil {
		return err
	}
	req := &pb.MkdirsRequestProto{Src: &dir, Masked: permission(mode), CreateParent: proto.Bool(true)}
	return h.call(ctx, "mkdir", dir, "mkdirs", req, &pb.MkdirsResponseProto{})
}

// Rename implements FS.
func (h *HDFS) Rename(ctx context.Context, old, new string, overwrite bool) error {
	old, err := cleanName("rename", old)
	if err != nil {
		return err
	}
	if new, err = cleanName("rename", new); err != nil {
		return err
	}
	if err := checkRename(old, new); err != nil {
		return err
	}
	if overwrite { // HDFS would replace an empty directory too
		source, err := h.status(ctx, "rename", old)
		if err != nil {
			return err
		}
		overwrite = source.GetFileType() != pb.HdfsFileStatusProto_IS_DIR
	}
	return h.rename(ctx, "rename", old, new, overwrite)
}

// rename moves a file, or, without overwrite, a directory.
func (h *HDFS) rename(ctx context.Context, op, old, new string, overwrite bool) error {
	req := &pb.Rename2RequestProto{Src: &old, Dst: &new, OverwriteDest: &overwrite}
	err := h.call(ctx, op, new, "rename2", req, &pb.Rename2ResponseProto{})
	if remote, ok := errors.AsType[*rpc.RemoteError](err); ok && remote.Class == plainIOException {
		// It has no class of its own for a file that meets a directory.
		if _, statErr := h.status(ctx, op, new); statErr == nil {
			return h.fail(op, new, &foreignError{ours: fs.ErrExist, err: err})
		}
	}
	return err
}

// Remove implements FS.
func (h *HDFS) Remove(ctx context.Context, name string, recursive bool) error {
	name, err := cleanRemovable(name)
	if err != nil {
		return err
	}
	resp := &pb.DeleteResponseProto{}
	if err := h.call(ctx, "remove", name, "delete", &pb.DeleteRequestProto{Src: &name, Recursive: &recursive}, resp); err != nil {
		return err
	}
	if !resp.GetResult() {
		return h.fail("remove", name, fs.ErrNotExist)
	}
	return nil
}

// Chmod implements FS.
func (h *HDFS) Chmod(ctx context.Context, name string, mode fs.FileMode) error {
	name, err := cleanName("chmod", name)
	if err != nil {
		return err
	}
	req := &pb.SetPermissionRequestProto{Src: &name, Permission: permission(mode)}
	return h.call(ctx, "chmod", name, "setPermission", req, &pb.SetPermissionResponseProto{})
}

// Home implements FS.
func (h *HDFS) Home() string { return h.home }

// URI implements FS.
func (h *HDFS) URI(name string) string {
	return uri.URI{Scheme: "hdfs", Authority: h.authority, Path: path.Clean(name)}.String()
}

// Close implements FS. Readers that are in the middle of a block go on to its end.
func (h *HDFS) Close() error {
	h.mu.Lock()
	if h.blocks != nil {
		h.blocks.client.Close()
	}
	h.mu.Unlock()
	return h.nameNode.Close()
}

// serverDefaults are what the NameNode wants new files to be like. They are asked for once.
func (h *HDFS) serverDefaults(ctx context.Context) (*pb.FsServerDefaultsProto, error) {
	h.mu.Lock()
	known := h.defaults
	h.mu.Unlock()
	if known != nil {
		return known, nil
	}
	resp := &pb.GetServerDefaultsResponseProto{}
	if err := h.call(ctx, "open", "/", "getServerDefaults", &pb.GetServerDefaultsRequestProto{}, resp); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.defaults = resp.GetServerDefaults()
	return h.defaults, nil
}

// packets makes what the data of blocks is sent in, with the checksums and the size that the
// cluster wants.
func (h *HDFS) packets(ctx context.Context) (*datanode.Packets, error) {
	defaults, err := h.serverDefaults(ctx)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.packed != nil {
		return h.packed, nil
	}
	kind, chunk := defaults.GetChecksumType(), int64(defaults.GetBytesPerChecksum())
	if !h.conf.IsDefault("dfs.checksum.type") {
		name := "CHECKSUM_" + strings.ToUpper(h.conf.String("dfs.checksum.type"))
		number, ok := pb.ChecksumTypeProto_value[name]
		if !ok {
			return nil, fmt.Errorf("dfs.checksum.type: %w: %s", ErrUnsupported, h.conf.String("dfs.checksum.type"))
		}
		kind = pb.ChecksumTypeProto(number)
	}
	if !h.conf.IsDefault("dfs.bytes-per-checksum") {
		if chunk, err = h.conf.Bytes("dfs.bytes-per-checksum", chunk); err != nil {
			return nil, err
		}
	}
	h.packed, err = datanode.NewPackets(kind, int(chunk), int(defaults.GetWritePacketSize()))
	return h.packed, err
}

// newFileShape is the block size in bytes and the replication of a new file. What the NameNode
// wants counts where our own configuration says nothing.
func (h *HDFS) newFileShape(ctx context.Context, o CreateOptions) (blockSize int64, replication int, err error) {
	defaults, err := h.serverDefaults(ctx)
	if err != nil {
		return 0, 0, err
	}
	blockSize, copies := int64(defaults.GetBlockSize()), int64(defaults.GetReplication())
	if !h.conf.IsDefault("dfs.blocksize") {
		if blockSize, err = h.conf.Bytes("dfs.blocksize", blockSize); err != nil {
			return 0, 0, err
		}
	}
	if !h.conf.IsDefault("dfs.replication") {
		if copies, err = h.conf.Int("dfs.replication", copies); err != nil {
			return 0, 0, err
		}
	}
	if o.Replication > 0 {
		copies = int64(o.Replication)
	}
	return blockSize, int(copies), nil
}

func permission(mode fs.FileMode) *pb.FsPermissionProto {
	return &pb.FsPermissionProto{Perm: proto.Uint32(posixBits(mode))}
}

func infoOf(name string, s *pb.HdfsFileStatusProto) Info {
	return Info{
		Name:    name,
		Size:    int64(s.GetLength()),
		Mode:    modeOf(s.GetPermission().GetPerm(), s.GetFileType() == pb.HdfsFileStatusProto_IS_DIR),
		ModTime: time.UnixMilli(int64(s.GetModificationTime())),
		Owner:   s.GetOwner(),
		Group:   s.GetGroup(),
	}
}
