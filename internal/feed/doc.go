// Package feed decides how rows get from Spark's tasks into a job's programs: what waits for a
// program, what it has been handed, what it is done with, and which worker a partition goes to.
//
// A feeder is a Spark task that feeds one partition: a stream of chunks, numbered from 0. A Queue
// is an agent's: it holds chunks until its program has consumed them. A Roster is the driver's: it
// knows the workers and who got which partition. Frames are what they all say to each other. Rows
// are bytes to this package. It reads no clock, talks to no one, and is not safe for concurrent
// use.
package feed
