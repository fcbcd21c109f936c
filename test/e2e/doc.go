// Package e2e runs tfos as its users do: the built binaries, real processes, real TensorFlow, the
// embedded YARN and a real Hadoop cluster. Its tests need the build tag e2e and what `make test`
// sets up; without the tag there is nothing here.
//
// A test that breaks nothing but its own job or its own cluster is parallel: most of its time it
// waits. The others have the cluster that they share to themselves.
package e2e
