// Package arch holds the rules on how this repository is put together, as a test. It has no code of
// its own.
package arch
