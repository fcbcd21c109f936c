// Package control is how the processes of one job talk: the application master serves, its agents
// and clients dial; each agent serves its logs.
//
// Everything runs over TLS 1.3 with certificates of an authority made for the one job. Who holds
// none of them gets nothing, and who holds one gets what its party may: an agent speaks for its own
// container only. What travels is declared in controlpb; outward there are plain values. The
// package moves messages and watches connections; what a message means is decided by the handlers
// of its users.
package control
