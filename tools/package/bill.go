package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// bill is the list of what the binaries in a directory are made of, as CycloneDX: each with its
// hash, and the modules that are linked into it, as the binary itself says.
func bill(dir, version string, when time.Time) ([]byte, error) {
	b := cdx.NewBOM()
	b.Metadata = &cdx.Metadata{
		Timestamp: when.Format(time.RFC3339),
		Component: &cdx.Component{BOMRef: "tfos", Type: cdx.ComponentTypeApplication, Name: "tfos", Version: version, Description: description},
	}
	components, links := map[string]cdx.Component{}, map[string][]string{}
	for _, name := range binaries {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		info, err := buildinfo.Read(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		sum := sha256.Sum256(data)
		binary := "bin/" + name
		components[binary] = cdx.Component{
			BOMRef: binary, Type: cdx.ComponentTypeApplication, Name: name, Version: version,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
		}
		links["tfos"] = append(links["tfos"], binary)
		add := func(module, version string) {
			ref := fmt.Sprintf("pkg:golang/%s@%s", module, version)
			components[ref] = cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeLibrary, Name: module, Version: version, PackageURL: ref}
			links[binary] = append(links[binary], ref)
		}
		add("std", info.GoVersion)
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			add(m.Path, m.Version)
		}
	}
	var all []cdx.Component
	var dependencies []cdx.Dependency
	for _, key := range slices.Sorted(maps.Keys(components)) {
		all = append(all, components[key])
	}
	for _, key := range slices.Sorted(maps.Keys(links)) {
		refs := links[key]
		dependencies = append(dependencies, cdx.Dependency{Ref: key, Dependencies: &refs})
	}
	b.Components, b.Dependencies = &all, &dependencies
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(b); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
