package yarn

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestResourceText(t *testing.T) {
	for want, r := range map[string]Resource{
		"0 MiB, 0 vcores":   {},
		"1536 MiB, 1 vcore": {MemoryMiB: 1536, VCores: 1},
		"2 GiB, 4 vcores, 8 yarn.io/fpga, 1 yarn.io/gpu": {2048, 4, map[string]int64{"yarn.io/gpu": 1, "yarn.io/fpga": 8}},
		"1 GiB, 1 vcore, 2 yarn.io/gpu":                  {1024, 1, map[string]int64{"yarn.io/gpu": 2, "yarn.io/fpga": 0}},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestResourceLaws(t *testing.T) {
	resource := rapid.Custom(func(t *rapid.T) Resource {
		r := Resource{MemoryMiB: rapid.Int64Range(-4, 4).Draw(t, "memory"), VCores: rapid.Int32Range(-4, 4).Draw(t, "vcores")}
		if rapid.Bool().Draw(t, "has custom") {
			r.Custom = rapid.MapOf(rapid.SampledFrom([]string{"gpu", "fpga"}), rapid.Int64Range(-2, 2)).Draw(t, "custom")
		}
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := resource.Draw(t, "a"), resource.Draw(t, "b"), resource.Draw(t, "c")
		if !a.Add(b).Sub(b).Equal(a) {
			t.Errorf("(%v + %v) - %[2]v is %v", a, b, a.Add(b).Sub(b))
		}
		if !a.Add(b).Equal(b.Add(a)) {
			t.Errorf("%v + %v depends on the order", a, b)
		}
		if a.Fits(b) && b.Fits(c) && !a.Fits(c) {
			t.Errorf("%v fits %v, that fits %v, but the first not the last", a, b, c)
		}
		if a.Fits(b) != a.Add(c).Fits(b.Add(c)) {
			t.Errorf("%v fits %v: %v, but not so with %v more on both sides", a, b, a.Fits(b), c)
		}
		if a.Equal(b) != a.Sub(b).IsZero() {
			t.Errorf("%v equals %v: %v, but the difference is %v", a, b, a.Equal(b), a.Sub(b))
		}
		if a.Equal(b) && a.String() != b.String() {
			t.Errorf("%v equals %v but reads otherwise", a, b)
		}
	})
}

func TestCheckResource(t *testing.T) {
	gpu := Resource{MemoryMiB: 1, VCores: 1, Custom: map[string]int64{"yarn.io/gpu": 1}}
	types := []ResourceType{{Name: "vcores"}, {Name: "memory-mb", Units: "Mi"}}
	err := CheckResource(types, gpu)
	if !errors.Is(err, ErrUnknownResource) || !strings.Contains(err.Error(), `"yarn.io/gpu"; it knows memory-mb, vcores`) {
		t.Errorf("on a cluster without GPUs: %v", err)
	}
	if err := CheckResource(append(types, ResourceType{Name: "yarn.io/gpu"}), gpu); err != nil {
		t.Errorf("on a cluster with GPUs: %v", err)
	}
	if err := CheckResource(nil, Resource{MemoryMiB: 1, VCores: 1, Custom: map[string]int64{"yarn.io/gpu": 0}}); err != nil {
		t.Errorf("asking for none: %v", err)
	}
	if err := CheckGrant(gpu, Container{Resource: Resource{MemoryMiB: 128, VCores: 1}}); err == nil {
		t.Error("a container without the GPU was taken for one that has it")
	}
	if err := CheckGrant(gpu, Container{Resource: gpu}); err != nil {
		t.Error(err)
	}
}
