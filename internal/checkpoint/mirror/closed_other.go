//go:build !linux

package mirror

// written is not known here: what does not change counts as complete.
func written(string) bool { return false }

func background() error { return nil }
