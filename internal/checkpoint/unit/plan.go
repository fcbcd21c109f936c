package unit

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"tfos/internal/checkpoint"
)

// Plan is what is left to be done for a unit whose files have all arrived: whoever finds one
// finishes it.
type Plan struct {
	Files []string `json:"files"`           // in the order in which they take their places
	Stale []string `json:"stale,omitempty"` // that go before that
}

// PlanOf is a copy's.
func PlanOf(c Copy) Plan {
	p := Plan{Stale: c.Stale}
	for _, f := range c.Changed {
		p.Files = append(p.Files, f.Name)
	}
	return p
}

// Encode writes a plan as a file's content.
func (p Plan) Encode() ([]byte, error) { return json.Marshal(p) }

// ParsePlan reads what Encode wrote. It takes no name that leads out of the directory, or to where
// copies arrive.
func ParsePlan(b []byte) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(b, &p); err != nil {
		return Plan{}, fmt.Errorf("parse a plan: %w", err)
	}
	for _, name := range slices.Concat(p.Files, p.Stale) {
		first, _, _ := strings.Cut(name, "/")
		if name == "" || name == "." || path.Clean(name) != name || path.IsAbs(name) || first == ".." || first == checkpoint.Staging || strings.ContainsRune(name, 0) {
			return Plan{}, fmt.Errorf("parse a plan: %q is no name of a file below the directory", name)
		}
	}
	return p, nil
}
