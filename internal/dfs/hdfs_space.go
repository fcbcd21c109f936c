package dfs

import (
	"context"
	"errors"
	"fmt"
	"math"

	"tfos/internal/hadoop/pb"
)

// Space is what there is room for in a directory. Bytes count each replica.
type Space struct {
	Free  int64 // bytes that the DataNodes have left
	Names int64 // files and directories that the quota leaves; math.MaxInt64: there is no quota
	Bytes int64 // that the quota leaves; math.MaxInt64: there is no quota
}

// SpaceOf asks what there is room for in a directory that is there. It is errors.ErrUnsupported
// where the filesystem does not say, and of a quota that a Hadoop before 2.8 does not tell.
func SpaceOf(ctx context.Context, f FS, dir string) (Space, error) {
	h, ok := f.(*HDFS)
	if !ok {
		return Space{}, fmt.Errorf("%s: %w", f.URI(dir), errors.ErrUnsupported)
	}
	stats := &pb.GetFsStatsResponseProto{}
	if err := h.call(ctx, "ask for the space in", dir, "getFsStats", &pb.GetFsStatusRequestProto{}, stats); err != nil {
		return Space{}, err
	}
	quota := &pb.GetQuotaUsageResponseProto{}
	if err := h.call(ctx, "ask for the quota of", dir, "getQuotaUsage", &pb.GetQuotaUsageRequestProto{Path: &dir}, quota); err != nil {
		return Space{}, err
	}
	u := quota.GetUsage()
	return Space{
		Free:  int64(min(stats.GetRemaining(), math.MaxInt64)),
		Names: left(u.GetQuota(), u.GetFileAndDirectoryCount()),
		Bytes: left(u.GetSpaceQuota(), u.GetSpaceConsumed()),
	}, nil
}

// left is what a quota leaves. None is -1, which the wire makes large.
func left(quota, used uint64) int64 {
	if quota > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(quota) - int64(min(used, math.MaxInt64))
}

// MayWrite asks whether the user may make files in a directory that is there: nil, or
// fs.ErrPermission. It is errors.ErrUnsupported where the filesystem does not say.
func MayWrite(ctx context.Context, f FS, dir string) error {
	h, ok := f.(*HDFS)
	if !ok {
		return fmt.Errorf("%s: %w", f.URI(dir), errors.ErrUnsupported)
	}
	return h.call(ctx, "write to", dir, "checkAccess", &pb.CheckAccessRequestProto{Path: &dir, Mode: pb.AclEntryProto_WRITE_EXECUTE.Enum()}, &pb.CheckAccessResponseProto{})
}
