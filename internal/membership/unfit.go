package membership

import (
	"fmt"
	"slices"

	"tfos/internal/yarn"
)

// provenBy is how many nodes must have told the same reason before it is taken for the job's, and
// not the node's; triesForProof is how many tries it takes where there is one node only.
const (
	provenBy      = 2
	triesForProof = 3
)

// unfit is a localization that failed for a reason which no further try takes away.
type unfit struct {
	Reason yarn.Unfit `json:"reason"`
	Node   string     `json:"node"`
}

// unfitted books a localization that failed. It is true once it is proven that no try can end
// otherwise; what then says so.
func (m *Machine) unfitted(host, diagnostics, what string) (string, bool) {
	reason := yarn.UnfitOf(diagnostics)
	if reason == yarn.UnfitNone {
		return what, false
	}
	if reason == yarn.UnfitName && m.s.Generation > 0 { // some nodes can do it: the whole gang was there
		return what, false
	}
	m.s.Unfit = append(m.s.Unfit, unfit{reason, host})
	tries, others := 0, []string(nil)
	for _, u := range m.s.Unfit {
		if u.Reason != reason {
			continue
		}
		if tries++; u.Node != host && !slices.Contains(others, u.Node) {
			others = append(others, u.Node)
		}
	}
	switch {
	case len(others)+1 >= provenBy:
		what += fmt.Sprintf(". It was the same on %s", others[0])
	case tries >= triesForProof:
		what += fmt.Sprintf(". It was the same %d times", tries)
	default:
		return what, false
	}
	return what + ". " + reason.Advice(), true
}
