package fault

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed plans/*.plan
var files embed.FS

// Named is a plan of this package's own collection.
type Named struct {
	Name string // of its file, without the extension: "worker-process"
	Plan Plan
}

// All are the plans in plans/, by name.
func All() ([]Named, error) {
	entries, err := files.ReadDir("plans")
	if err != nil {
		return nil, err
	}
	var all []Named
	for _, e := range entries {
		text, err := files.ReadFile("plans/" + e.Name())
		if err != nil {
			return nil, err
		}
		p, err := Parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		all = append(all, Named{strings.TrimSuffix(e.Name(), ".plan"), p})
	}
	slices.SortFunc(all, func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
