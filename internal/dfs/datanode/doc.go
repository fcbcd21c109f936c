// Package datanode reads and writes blocks of HDFS at DataNodes: the client's side of READ_BLOCK
// and WRITE_BLOCK in Hadoop's DataTransferProtocol.
//
// It reads one range of one block from the DataNode it is told, and verifies every byte by the
// checksums that came with it. It writes one block through the DataNodes it is told, and says which
// of them failed and what they have not confirmed. Which blocks make up a file, which DataNodes are
// best, and what to do when one fails is the caller's. A connection whose range was read to its end
// serves the next range on the same DataNode.
package datanode
