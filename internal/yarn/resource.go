package yarn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The names under which YARN counts a Resource's first two fields.
const (
	MemoryName = "memory-mb"
	VCoresName = "vcores"
)

// String is for people: "2 GiB, 4 vcores, 1 yarn.io/gpu"; custom resources follow by name.
func (r Resource) String() string {
	var b strings.Builder
	if r.MemoryMiB != 0 && r.MemoryMiB%1024 == 0 {
		fmt.Fprintf(&b, "%d GiB, ", r.MemoryMiB/1024)
	} else {
		fmt.Fprintf(&b, "%d MiB, ", r.MemoryMiB)
	}
	fmt.Fprintf(&b, "%d vcore", r.VCores)
	if r.VCores != 1 {
		b.WriteByte('s')
	}
	for _, name := range r.customNames() {
		fmt.Fprintf(&b, ", %d %s", r.Custom[name], name)
	}
	return b.String()
}

// customNames are the names of the custom resources that r has some of, sorted.
func (r Resource) customNames() []string {
	names := make([]string, 0, len(r.Custom))
	for name, n := range r.Custom {
		if n != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// IsZero reports whether r is nothing at all.
func (r Resource) IsZero() bool {
	return r.MemoryMiB == 0 && r.VCores == 0 && len(r.customNames()) == 0
}

// Equal reports whether two amounts are the same. A custom resource of which there is none equals
// one not named.
func (r Resource) Equal(other Resource) bool { return r.Fits(other) && other.Fits(r) }

// Fits reports whether r can be had out of room.
func (r Resource) Fits(room Resource) bool {
	if r.MemoryMiB > room.MemoryMiB || r.VCores > room.VCores {
		return false
	}
	for name, n := range r.Custom {
		if n > room.Custom[name] {
			return false
		}
	}
	for name, n := range room.Custom { // a negative amount fits nothing that is not named
		if r.Custom[name] > n {
			return false
		}
	}
	return true
}

// Add is both amounts together.
func (r Resource) Add(other Resource) Resource { return r.combine(other, 1) }

// Sub is what is left of r without other; it may be negative.
func (r Resource) Sub(other Resource) Resource { return r.combine(other, -1) }

func (r Resource) combine(other Resource, sign int64) Resource {
	sum := Resource{MemoryMiB: r.MemoryMiB + sign*other.MemoryMiB, VCores: r.VCores + int32(sign)*other.VCores}
	if len(r.Custom)+len(other.Custom) > 0 {
		sum.Custom = make(map[string]int64, len(r.Custom)+len(other.Custom))
		maps.Copy(sum.Custom, r.Custom)
		for name, n := range other.Custom {
			sum.Custom[name] += sign * n
		}
	}
	return sum
}

// Amount is how much r has of the resource that YARN counts under name.
func (r Resource) Amount(name string) int64 {
	switch name {
	case MemoryName:
		return r.MemoryMiB
	case VCoresName:
		return int64(r.VCores)
	}
	return r.Custom[name]
}

// CheckResource refuses a resource that the cluster does not count. The ResourceManager drops an
// unknown kind without a word and grants containers that lack it, so it must be found before it is
// asked for. Memory and vcores are always known.
func CheckResource(types []ResourceType, r Resource) error {
	known := map[string]bool{MemoryName: true, VCoresName: true}
	for _, t := range types {
		known[t.Name] = true
	}
	for _, name := range r.customNames() {
		if !known[name] {
			return fmt.Errorf("%w: the cluster does not count %q; it knows %s", ErrUnknownResource, name,
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return nil
}

// CheckGrant refuses a container that holds less than was asked for.
func CheckGrant(asked Resource, c Container) error {
	if asked.Fits(c.Resource) {
		return nil
	}
	return fmt.Errorf("%s on %s: granted %s where %s was asked for", c.ID, c.Node, c.Resource, asked)
}
