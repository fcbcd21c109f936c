package dfs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
)

// Temporary files of writers that died are found by what a living writer holds: a lock on the local
// disk, a lease on HDFS.

const (
	// newborn is the age below which a temporary file is left alone: its writer may not hold it
	// yet.
	newborn = time.Minute
	// closedFor is how long a temporary file on HDFS has been closed before its writer is taken to
	// be dead. One that lives closes it to rename it at once, or between two of its writes, or the
	// NameNode did so long after the writer's death.
	closedFor = 15 * time.Minute
)

// claim holds a temporary file for as long as its writer has it open.
func claim(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOSYS) {
		return nil // a filesystem without locks: what is left there stays
	}
	return err
}

// Sweep implements FS.
func (l *Local) Sweep(ctx context.Context, dir string) ([]string, error) {
	dir, err := l.enter(ctx, "sweep", dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, localError(err)
	}
	var gone []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !isTemporary(entry.Name()) || !info.Mode().IsRegular() || time.Since(info.ModTime()) < newborn {
			continue
		}
		name := path.Join(dir, entry.Name())
		if abandoned(name) && os.Remove(name) == nil {
			gone = append(gone, name)
		}
	}
	return gone, nil
}

// abandoned reports whether nobody holds a temporary file.
func abandoned(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// Sweep implements FS. Files of other users stay.
func (h *HDFS) Sweep(ctx context.Context, dir string) ([]string, error) {
	dir, err := cleanName("sweep", dir)
	if err != nil {
		return nil, err
	}
	list, err := h.list(ctx, "sweep", dir, isTemporary)
	if err != nil {
		return nil, err
	}
	var gone []string
	for _, info := range list {
		if info.IsDir() || info.Owner != h.user && h.user != "" {
			continue
		}
		removed, err := h.sweep(ctx, info)
		switch {
		case err == nil && removed:
			gone = append(gone, info.Name)
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrBusy) && !errors.Is(err, fs.ErrPermission):
			return gone, err
		}
	}
	return gone, nil
}

// sweep removes a temporary file if its writer is dead. The NameNode tells: whoever has not renewed
// his lease for a minute must let others have the file.
func (h *HDFS) sweep(ctx context.Context, info Info) (removed bool, err error) {
	age := time.Since(info.ModTime) // since it was created, or closed
	if age < newborn {
		return false, nil
	}
	resp := &pb.GetBlockLocationsResponseProto{}
	req := &pb.GetBlockLocationsRequestProto{Src: &info.Name, Offset: proto.Uint64(0), Length: proto.Uint64(1)}
	if err := h.call(ctx, "sweep", info.Name, "getBlockLocations", req, resp); err != nil {
		return false, err
	}
	if !resp.GetLocations().GetUnderConstruction() {
		if age < closedFor {
			return false, nil
		}
		return true, h.Remove(ctx, info.Name, false)
	}
	w, err := h.Append(ctx, info.Name)
	if err != nil && !recovering(err) {
		return false, err
	}
	err = h.Remove(ctx, info.Name, false)
	if w != nil {
		w.Abort()
	}
	return true, err
}

// recovering reports whether an error says that a file's lease is being taken from its writer.
func recovering(err error) bool {
	remote, ok := errors.AsType[*rpc.RemoteError](err)
	return ok && remote.Class == recoveryException
}
