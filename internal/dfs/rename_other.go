//go:build !linux

package dfs

// renameNoReplace moves old to new unless new exists.
func renameNoReplace(old, new string) error { return renameChecked(old, new) }
