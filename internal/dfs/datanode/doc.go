// Package datanode reads blocks of HDFS from DataNodes: the client's side of READ_BLOCK in Hadoop's DataTransferProtocol.
//
// It reads one range of one block from the DataNode it is told, and verifies every byte by the checksums that came with it. Which
// blocks make up a file, which DataNode is best, and what to do when one fails is the caller's. A connection whose range was read to
// its end serves the next range on the same DataNode.
package datanode
