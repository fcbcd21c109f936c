// Package yarnrpc speaks YARN's three protocols over Hadoop RPC, with the values of package yarn.
//
// Generated protobuf types and Java's exceptions end here. Client is ApplicationClientProtocol,
// Master is ApplicationMasterProtocol, Nodes is ContainerManagementProtocol with every node an
// application has containers on; their server sides, for the embedded YARN, are ServeClient,
// ServeMaster and ServeContainers.
//
// It keeps tokens and connections and nothing else: what was asked for and granted is the ledger's
// business. Each function is one call, tried again as far as that is safe, and bounded by its
// context (a minute if that has no deadline). Errors are those of package yarn under errors.Is,
// those of rpc beneath them for who wants to see what the service said.
package yarnrpc
