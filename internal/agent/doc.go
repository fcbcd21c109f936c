// Package agent is the process that tfos runs in each container: it keeps a port for its task,
// joins the master, runs the task's program when told to, and tells how far that comes and how it
// ends.
//
// One goroutine owns where the task stands; commands, the program's end and its steps reach it as
// messages. The agent decides nothing about the job: it does what the master says, drops what is
// late, and keeps the program running while there is no master.
package agent
