// Package e2e runs tfos as its users do: the built binaries, real processes, real TensorFlow, the embedded YARN and a real
// Hadoop cluster. Its tests need the build tag e2e and what `make test` sets up; without the tag there is nothing here.
package e2e
