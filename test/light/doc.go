// Package light plays what runs in the containers of hollow NodeManagers (deploy/testcluster): for
// each an agent that speaks the real control protocol and whose program does nothing but take
// steps. A thousand of them are one process. They stand for agents where the master is tried, not
// the agent.
package light
