// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom writes what the binaries of an architecture are made of, as CycloneDX.
func (r *release) sbom(arch string, modules []*module) error {
	page, err := readPage(r.root)
	if err != nil {
		return err
	}
	b := cdx.NewBOM()
	b.SpecVersion = cdx.SpecVersion1_6
	b.SerialNumber = r.serial(arch)
	name := "strobe"
	b.Metadata = &cdx.Metadata{
		Timestamp: r.time.Format(time.RFC3339),
		Component: &cdx.Component{
			BOMRef: name, Type: cdx.ComponentTypeApplication, Name: name, Version: r.version,
			Description: "Continuous profiling for Linux, " + arch,
			Licenses:    &cdx.Licenses{{Expression: license}},
			ExternalReferences: &[]cdx.ExternalReference{
				{Type: cdx.ERTypeVCS, URL: homepage, Comment: "commit " + r.commit},
			},
		},
	}
	var components []cdx.Component
	uses := map[string][]string{}
	for _, p := range programs {
		content, err := os.ReadFile(r.binary(arch, p.name))
		if err != nil {
			return err
		}
		components = append(components, cdx.Component{
			BOMRef: p.name, Type: cdx.ComponentTypeApplication, Name: p.name, Version: r.version, Description: p.summary,
			Licenses: &cdx.Licenses{{Expression: license}},
			Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sha256.Sum256(content))}},
		})
		uses[name] = append(uses[name], p.name)
		uses[p.name] = nil
	}
	for _, m := range modules {
		c := cdx.Component{
			Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version,
			PackageURL: "pkg:golang/" + strings.ReplaceAll(m.path, " ", "%20") + "@" + strings.ReplaceAll(m.version, "+", "%2B"),
			Licenses:   &cdx.Licenses{},
		}
		c.BOMRef = c.PackageURL
		for _, id := range m.licenses {
			*c.Licenses = append(*c.Licenses, cdx.LicenseChoice{License: &cdx.License{ID: id}})
		}
		components = append(components, c)
		for _, p := range m.programs {
			uses[p] = append(uses[p], c.BOMRef)
		}
	}
	const server = "strobe-collectionagent"
	for _, dependency := range slices.Sorted(maps.Keys(page.Dependencies)) {
		c := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: dependency, Version: page.Dependencies[dependency]}
		c.PackageURL = "pkg:npm/" + c.Name + "@" + c.Version
		c.BOMRef = c.PackageURL
		c.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "MIT"}}}
		components = append(components, c)
		uses[server] = append(uses[server], c.BOMRef)
	}
	b.Components = &components
	var dependencies []cdx.Dependency
	for _, ref := range slices.Sorted(maps.Keys(uses)) {
		on := uses[ref]
		dependencies = append(dependencies, cdx.Dependency{Ref: ref, Dependencies: &on})
	}
	b.Dependencies = &dependencies
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(b, cdx.SpecVersion1_6); err != nil {
		return err
	}
	return r.write(fmt.Sprintf("strobe_%s_linux_%s.cdx.json", r.version, arch), out.Bytes())
}

// serial names the list. It depends on nothing but what the list is of.
func (r *release) serial(arch string) string {
	sum := sha256.Sum256([]byte(homepage + " " + r.version + " " + r.commit + " " + arch))
	sum[6] = sum[6]&0x0f | 0x80 // version 8: of the maker's own making
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
