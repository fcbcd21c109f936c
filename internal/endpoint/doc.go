// Package endpoint gives each task of a job an address that stays while the task moves.
//
// A task's process knows its peers, and itself, by the addresses in View. They hold as long as the
// process does. Where a peer lives now is in the cluster_spec that the master publishes: each new
// generation goes to Update, which re-targets. A connection to a peer that has no target is refused
// at once, never held. When a peer gets another target, every connection to its old one is reset at
// once, so that a program waiting for a machine that fell silent goes on. A peer that is another
// incarnation at the same address counts as another target.
//
// Three carriers stand behind the one table. Redirect preloads a C library (preload/endpoint.c)
// into the process, which sends its connections straight to the target: no byte passes through us,
// and every task of the job sees the same, virtual addresses. Forward accepts connections on a port
// of the node per peer and passes the bytes on. Direct shows the real addresses, and a peer that
// moves is then known only to a process started later.
//
// A target's port may have become somebody else's before that is published. Before a program is
// told that a connection is through, the agent that reserved the port (package agent/port) proves,
// at another port that the cluster_spec names, that it still holds it: see Witness.
//
// The package carries connections. It decides nothing about tasks, starts no task and speaks to no
// master.
package endpoint
