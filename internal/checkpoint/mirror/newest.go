package mirror

import (
	"context"
	"fmt"
	"reflect"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/store"
	"tfos/internal/dfs"
)

// looks is how often Newest looks at a directory that changes meanwhile.
const looks = 4

// Newest finds the newest whole checkpoint in a directory that mirrors copy to, as
// store.Directory.Newest does, after it has finished what a mirror that died had copied whole.
//
// One that is not dead may be having a copy take its place meanwhile, an agent that its master
// cannot reach: then a checkpoint that is written under one name again and again is for a moment
// half the old one and half the new one. So what is broken is looked at again after every copy that
// was ready has been finished, and is only broken if it has not changed.
func Newest(ctx context.Context, f dfs.FS, dir string, d *store.Directory, leaveOut func(checkpoint.Checkpoint) bool) (store.Found, error) {
	var before []store.Broken
	for range looks {
		if err := Settle(ctx, f, dir); err != nil {
			return store.Found{}, err
		}
		found, err := d.Newest(ctx, leaveOut)
		if err != nil || reflect.DeepEqual(found.Broken, before) {
			return found, err
		}
		before = found.Broken
	}
	return store.Found{}, fmt.Errorf("look for checkpoints in %s: %w", dir, store.ErrChanged)
}
