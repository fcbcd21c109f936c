package dfs

import "tfos/internal/hadoop/pb"

// plainBlocks refuses a file that we would get wrong, by where its blocks are: we know neither
// encryption zones, and would put the text itself where others expect cipher text, nor striped
// blocks.
func plainBlocks(blocks *pb.LocatedBlocksProto) error {
	switch {
	case blocks.GetFileEncryptionInfo() != nil:
		return ErrEncrypted
	case blocks.GetEcPolicy() != nil:
		return ErrErasureCoded
	}
	return nil
}

// plainFile is plainBlocks by a file's status. Hadoop 2 has the flags in the permission instead.
func plainFile(s *pb.HdfsFileStatusProto) error {
	const oldEncrypted, oldErasureCoded = 1 << 13, 1 << 14 // FsPermissionExtension
	if s == nil || s.GetFileType() == pb.HdfsFileStatusProto_IS_DIR {
		return nil
	}
	flags, perm := s.GetFlags(), s.GetPermission().GetPerm()
	switch {
	case s.GetFileEncryptionInfo() != nil, flags&uint32(pb.HdfsFileStatusProto_HAS_CRYPT) != 0, perm&oldEncrypted != 0:
		return ErrEncrypted
	case s.GetEcPolicy() != nil, flags&uint32(pb.HdfsFileStatusProto_HAS_EC) != 0, perm&oldErasureCoded != 0:
		return ErrErasureCoded
	}
	return nil
}
