// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a module of which a package is in a binary.
type module struct {
	path, version string
	dir           string
	programs      []string          // that have it
	files         map[string][]byte // with licences, by their path in the module
	licenses      []string          // what they are, as SPDX names them
}

// others are parts that are not modules: their licences are kept beside this program.
//
//go:embed licenses/*.txt
var others embed.FS

// otherParts says what they are.
var otherParts = []struct{ file, what string }{
	{"preact.txt", "Preact, in the web page of strobe-collectionagent"},
	{"libbpf.txt", "libbpf's headers, in the eBPF programs of strobe-agent and strobectl (used under BSD-2-Clause)"},
}

// licenseFile matches the names of files that hold licences, or notices that go with them.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|copyright|patents|unlicense)([-_.].*)?$`)

// modules returns what the programs of an architecture are made of, without this
// project itself, sorted. A module without a licence, or with one that nobody has looked
// at yet, is an error.
func (r *release) modules(ctx context.Context, arch string) ([]*module, error) {
	found := map[string]*module{}
	for _, p := range programs {
		out, err := r.run(ctx, arch, "go", "list", "-deps", "-f",
			"{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}\t{{$.Dir}}\t{{with .Replace}}{{.Path}}{{end}}{{end}}{{end}}", "./"+p.pkg)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(out)) {
			fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(fields) != 5 {
				continue // of the standard library, or of this project
			}
			if fields[4] != "" {
				return nil, fmt.Errorf("%s is replaced by %s, which nobody else can get", fields[0], fields[4])
			}
			m := found[fields[0]]
			if m == nil {
				m = &module{path: fields[0], version: fields[1], dir: fields[2], files: map[string][]byte{}}
				found[fields[0]] = m
			}
			if !slices.Contains(m.programs, p.name) {
				m.programs = append(m.programs, p.name)
			}
			// A package may have a licence of its own.
			for dir := fields[3]; strings.HasPrefix(dir, m.dir); dir = filepath.Dir(dir) {
				if err := m.collect(dir); err != nil {
					return nil, err
				}
			}
		}
	}
	std, err := r.goLicense(ctx, arch)
	if err != nil {
		return nil, err
	}
	list := []*module{std}
	for _, m := range found {
		list = append(list, m)
	}
	var errs []error
	for _, m := range list {
		errs = append(errs, m.recognise())
	}
	slices.SortFunc(list, func(a, b *module) int { return strings.Compare(a.path, b.path) })
	return list, errors.Join(errs...)
}

// goLicense returns the standard library.
func (r *release) goLicense(ctx context.Context, arch string) (*module, error) {
	out, err := r.run(ctx, arch, "go", "env", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	root, version, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	m := &module{path: "std", version: strings.TrimPrefix(version, "go"), dir: root, files: map[string][]byte{}}
	for _, p := range programs {
		m.programs = append(m.programs, p.name)
	}
	if err := m.collect(root); err != nil {
		return nil, err
	}
	if len(m.files) == 0 { // where a distribution keeps it
		return nil, fmt.Errorf("%s has no licence of Go", root)
	}
	return m, nil
}

// collect reads the licences in a directory.
func (m *module) collect(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenseFile.MatchString(e.Name()) || path.Ext(e.Name()) == ".go" {
			continue
		}
		full := filepath.Join(dir, e.Name())
		name, err := filepath.Rel(m.dir, full)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(full) //nolint:gosec // of a module in use
		if err != nil {
			return err
		}
		m.files[name] = b
	}
	return nil
}

// phrases tell licences apart: all of them have to be in the text.
var phrases = []struct {
	id   string
	text []string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0"}},
	{"MPL-2.0", []string{"mozilla public license", "2.0"}},
	{"MIT", []string{"permission is hereby granted, free of charge", "the software is provided \"as is\""}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "endorse or promote"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms", "this list of conditions"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose"}},
	{"ISC", []string{"permission to use, copy, modify, and distribute this software for any purpose"}},
	{"CC0-1.0", []string{"cc0 1.0 universal"}},
	{"Unlicense", []string{"this is free and unencumbered software"}},
}

// forbidden are words of licences that this project must not link with.
var forbidden = regexp.MustCompile(`(?i)gnu (lesser |affero )?general public license|server side public license|business source license|commons clause`)

// recognise finds out which licences a module has.
func (m *module) recognise() error {
	for _, name := range slices.Sorted(keys(m.files)) {
		text := strings.ToLower(strings.Join(strings.Fields(string(m.files[name])), " "))
		if forbidden.MatchString(text) && !strings.Contains(text, "mozilla public license") { // which names them as secondary
			m.licenses = nil
			return fmt.Errorf("%s %s: %s has the words of a licence that is not permissive: have a look", m.path, m.version, name)
		}
		for _, p := range phrases {
			if containsAll(text, p.text) && !slices.Contains(m.licenses, p.id) &&
				(p.id != "BSD-2-Clause" || !slices.Contains(m.licenses, "BSD-3-Clause")) {
				m.licenses = append(m.licenses, p.id)
			}
		}
	}
	if len(m.licenses) == 0 {
		return fmt.Errorf("%s %s: no licence that is known in %d files: have a look", m.path, m.version, len(m.files))
	}
	slices.Sort(m.licenses)
	return nil
}

func containsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

const rule = "--------------------------------------------------------------------------------\n"

// notices writes the licences of everything that is in the binaries and is not this
// project's. What many have word for word is written once.
func notices(modules []*module, root string) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("Strobe is licensed under the Apache License, version 2.0, and its eBPF programs under\n" +
		"GPL-2.0-only OR BSD-2-Clause. These binaries also contain what follows, under its own licences.\n")
	type text struct {
		content []byte
		of      []string
	}
	var order []string
	texts := map[string]*text{}
	add := func(of string, content []byte) {
		sum := fmt.Sprintf("%x", sha256.Sum256(bytes.Join(bytes.Fields(content), []byte(" "))))
		if texts[sum] == nil {
			texts[sum] = &text{content: content}
			order = append(order, sum)
		}
		texts[sum].of = append(texts[sum].of, of)
	}
	for _, m := range modules {
		title := m.path + " " + m.version
		if m.path == "std" {
			title = "Go and its standard library " + m.version
		}
		for _, name := range slices.Sorted(keys(m.files)) {
			add(title+", "+name, m.files[name])
		}
	}
	for _, o := range otherParts {
		b, err := fs.ReadFile(others, "licenses/"+o.file)
		if err != nil {
			return nil, err
		}
		add(o.what, b)
	}
	if err := checkPage(root); err != nil {
		return nil, err
	}
	for _, sum := range order {
		out.WriteString("\n" + rule)
		for _, of := range texts[sum].of {
			out.WriteString(of + "\n")
		}
		out.WriteString(rule + "\n")
		out.Write(bytes.TrimSpace(bytes.ReplaceAll(texts[sum].content, []byte("\r\n"), []byte("\n"))))
		out.WriteString("\n")
	}
	return out.Bytes(), nil
}
