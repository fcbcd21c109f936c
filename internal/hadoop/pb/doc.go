// Package pb holds the protobuf messages of Hadoop's RPC, its security tokens, YARN's three
// protocols and the few HDFS calls that tfos makes by itself.
//
// It is generated (make generate) from the .proto files beside it, which name the messages and
// fields in use and no others. A test compares them with what Hadoop's own classes say. Only the
// packages at the wire import it.
//
// The messages are registered as tfos.hadoop.…, where Hadoop says hadoop.…: another Hadoop client
// in the same binary registers that name. Names are not on the wire, numbers are.
package pb
