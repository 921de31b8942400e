// SPDX-License-Identifier: Apache-2.0

// Package compat holds the rules of docs/compatibility.md that are about names: what a
// released version had must be there in the next ones. Each list in testdata is of a minor
// version; "go test ./support/compat -update" writes those of the present one, which is for
// as long as it is not released. After that a list never changes, and what is
// taken away, two minor versions after it was deprecated, leaves all lists in one commit.
package compat

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

var update = flag.Bool("update", false, "write the lists of the present version")

// present is the minor version that is being worked on.
const present = "0.1"

// hold compares what there is with what versions had, and wants the list of the present one to be complete.
func hold(t *testing.T, name string, have []string) {
	t.Helper()
	slices.Sort(have)
	have = slices.Compact(have)
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", present+"-"+name+".txt"), []byte(strings.Join(have, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lists, err := filepath.Glob("testdata/*-" + name + ".txt")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no list: %v", err)
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(list) == present+"-"+name+".txt" {
			had := strings.Split(string(b), "\n")
			for _, line := range have {
				if !slices.Contains(had, line) {
					t.Errorf("%s does not have %q, so nobody would hold it: run the test with -update; where %s is released, raise present first", list, line, present)
				}
			}
		}
		n := 0
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSpace(line)
			if _, found := slices.BinarySearch(have, line); !found {
				t.Errorf("%s has %q, and it is gone: docs/compatibility.md", list, line)
			}
			n++
		}
		if n < 10 {
			t.Errorf("%s has %d lines", list, n)
		}
	}
}

// TestFlags holds that flags stay, with those of all commands. They are read from
// docs/configure.md, which the tests of the three programs hold to the code.
func TestFlags(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/configure.md")
	if err != nil {
		t.Fatal(err)
	}
	have, err := flags(string(b))
	if err != nil {
		t.Fatal(err)
	}
	hold(t, "flags", have)
}

// flags lists the commands of docs/configure.md with each of their flags.
func flags(doc string) (have []string, err error) {
	var (
		row    = regexp.MustCompile("(?m)^\\| ((?:`-[^`]+`(?:, )?)+) \\| ([^|]*) \\|")
		name   = regexp.MustCompile("`(-[a-z][a-z0-9-]*)")
		help   = regexp.MustCompile("(?s)```text\n(.*?)\n```")
		usage  = regexp.MustCompile(`(?m)^(?:Usage:)? +((?:agent|collectionagent)(?: [a-z]+)+)(.*)$`)
		option = regexp.MustCompile(`(?m)(?:^ +|\[|, )(-[a-z][a-z0-9-]*)`)
	)
	parts := map[string]string{}
	for _, part := range []string{"agent", "agent commands", "collectionagent", "collectionagent commands", "strobectl"} {
		_, rest, ok1 := strings.Cut(doc, "<!-- generated "+part+":")
		text, _, ok2 := strings.Cut(rest, "<!-- end "+part+" -->")
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("there is no part %q", part)
		}
		parts[part] = text
	}
	_, other, ok := strings.Cut(parts["agent"], "\nNot settings")
	if !ok {
		return nil, errors.New("the agent has no flags that are not settings")
	}
	for _, n := range name.FindAllStringSubmatch(other, -1) {
		have = append(have, "agent "+n[1])
	}
	for _, program := range []string{"agent", "collectionagent"} {
		for _, m := range row.FindAllStringSubmatch(parts[program], -1) {
			for _, n := range name.FindAllStringSubmatch(m[1], -1) {
				have = append(have, program+" "+n[1])
			}
		}
		for _, block := range help.FindAllStringSubmatch(parts[program+" commands"], -1) {
			m := usage.FindStringSubmatch(block[1])
			if m == nil {
				return nil, fmt.Errorf("no usage in %q", block[1])
			}
			for _, n := range option.FindAllStringSubmatch(block[1], -1) {
				have = append(have, m[1]+" "+n[1])
			}
		}
	}
	rows := row.FindAllStringSubmatch(parts["strobectl"], -1)
	all := "" // commands that ask a server
	for _, m := range rows {
		if strings.HasPrefix(m[1], "`-server ") {
			all = m[2]
		}
	}
	for _, m := range rows {
		of := m[2]
		if of == "all that ask a server" {
			of = all
		}
		for _, n := range name.FindAllStringSubmatch(m[1], -1) {
			for command := range strings.SplitSeq(of, ", ") {
				have = append(have, "strobectl "+command+" "+n[1])
			}
		}
	}
	return have, nil
}

// TestProtocol holds that messages between agent and collection agent keep their fields,
// with numbers and types, and that no RPC goes.
func TestProtocol(t *testing.T) {
	t.Parallel()
	var have []string
	file := pb.File_collectionagent_v1_collectionagent_proto
	var walk func(protoreflect.MessageDescriptors)
	walk = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			m := messages.Get(i)
			walk(m.Messages())
			for j := range m.Fields().Len() {
				f := m.Fields().Get(j)
				kind := f.Kind().String()
				if f.Message() != nil {
					kind = string(f.Message().FullName())
				}
				have = append(have, fmt.Sprintf("%s = %d %s %s packed=%v", f.FullName(), f.Number(), f.Cardinality(), kind, f.IsPacked()))
			}
		}
	}
	walk(file.Messages())
	for i := range file.Enums().Len() {
		values := file.Enums().Get(i).Values()
		for j := range values.Len() {
			have = append(have, fmt.Sprintf("%s = %d", values.Get(j).FullName(), values.Get(j).Number()))
		}
	}
	for i := range file.Services().Len() {
		methods := file.Services().Get(i).Methods()
		for j := range methods.Len() {
			m := methods.Get(j)
			have = append(have, fmt.Sprintf("rpc %s(%s) %s", m.FullName(), m.Input().FullName(), m.Output().FullName()))
		}
	}
	hold(t, "protocol", have)
}

// TestHTTP holds that paths, parameters and fields of answers stay.
func TestHTTP(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../collectionagent/*/openapi*.yaml")
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	var have []string
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if name, ok := v["name"].(string); ok && v["in"] != nil {
				have = append(have, fmt.Sprintf("%s %s=%v", path, v["in"], name))
			}
			for key, sub := range v {
				switch key {
				case "description", "summary", "example", "examples", "info", "tags", "required", "enum", "default", "minimum", "maximum", "operationId", "title":
					continue
				}
				if text, ok := sub.(string); ok {
					if key == "type" || key == "$ref" || key == "format" {
						have = append(have, path+"/"+key+"="+text)
					}
					continue
				}
				walk(path+"/"+key, sub)
			}
			if len(v) == 0 {
				have = append(have, path)
			}
		case []any:
			for _, sub := range v {
				walk(path, sub) // the place in a list means nothing
			}
		}
	}
	walk("", doc)
	hold(t, "http", have)
}

// TestGo holds that the packages which others build in keep what they export.
func TestGo(t *testing.T) {
	t.Parallel()
	var have []string
	for _, dir := range []string{"libpf", "reporter", "collector", "tracer", "proto/otlpcheck", "proto/otlppprof"} {
		entries, err := filepath.Glob("../../" + dir + "/*.go")
		if err != nil || len(entries) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, name := range entries {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				have = append(have, exported(dir, d)...)
			}
		}
	}
	hold(t, "go", have)
}

// exported lists what a declaration exports: fields and methods as well.
func exported(dir string, d ast.Decl) (have []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if !d.Name.IsExported() {
			return nil
		}
		name := d.Name.Name
		if d.Recv != nil {
			var b bytes.Buffer
			ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && b.Len() == 0 {
					b.WriteString(id.Name)
				}
				return true
			})
			if !ast.IsExported(b.String()) {
				return nil
			}
			name = b.String() + "." + name
		}
		return []string{fmt.Sprintf("%s.%s func/%d/%d", dir, name, d.Type.Params.NumFields(), d.Type.Results.NumFields())}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() {
						have = append(have, dir+"."+n.Name)
					}
				}
			case *ast.TypeSpec:
				if !s.Name.IsExported() {
					continue
				}
				have = append(have, dir+"."+s.Name.Name)
				if st, ok := s.Type.(*ast.StructType); ok {
					for _, field := range st.Fields.List {
						for _, n := range field.Names {
							if n.IsExported() {
								have = append(have, dir+"."+s.Name.Name+"."+n.Name)
							}
						}
					}
				}
			}
		}
	}
	return have
}
