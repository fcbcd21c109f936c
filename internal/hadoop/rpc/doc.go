// Package rpc is Hadoop RPC version 9, client and server: framing, SASL, the connection's set-up,
// and calls matched by id.
//
// On connect the client writes seven bytes, then authenticates, then says who it is and what it
// wants to speak; from there on both sides send frames. All of it is in plain sight unless SASL
// agreed on more:
//
//	client                                         server
//	"hrpc" | 9 | 0 | 0 (SIMPLE) or 0xdf (SASL)  →
//	NEGOTIATE                                   →              ┐
//	                                            ←  NEGOTIATE   │ SASL only,
//	INITIATE                                    →              │ call id -33
//	                                            ←  SUCCESS     ┘
//	connection context, call id -3              →
//	request header, header, message             →
//	                                            ←  response header, message
//
// With integrity or privacy everything after SUCCESS travels inside SASL frames of state WRAP,
// whose plain texts, strung together, are the stream of frames.
//
// A Client owns one connection at a time, to the first of its addresses that serves. A Server owns
// its listener and its connections. Neither outlives its Close. Dialer and listener are options and
// nothing else touches the network.
//
// Foreign errors become ours here: see RemoteError and the sentinels beside it.
package rpc
