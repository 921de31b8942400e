// SPDX-License-Identifier: Apache-2.0

// Package compat holds the rules of docs/compatibility.md that are about names: what a
// released version had must be there in the next ones. Each list in testdata is of a minor
// version; "go test ./support/compat -update" writes those of the present one, which is for
// as long as it is not released. After that a list never changes, and what is
// taken away, two minor versions after it was deprecated, leaves all lists in one commit.
package compat

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
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

// hold compares what there is with what versions had.
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

// TestFlags holds that flags stay, with those of the commands.
func TestFlags(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	cmd := exec.Command("go", "build", "-o", bin+"/", "./agent", "./collectionagent", "./strobectl")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var have []string
	line := regexp.MustCompile(`(?m)^\s+(-[a-z][a-z0-9-]*)`)
	for _, command := range []string{
		"agent", "agent record", "agent doctor", "agent status", "collectionagent", "collectionagent token create", "collectionagent token list",
		"collectionagent token rotate", "collectionagent token revoke", "collectionagent project create", "collectionagent project list", "collectionagent project remove",
		"collectionagent backup", "collectionagent restore", "collectionagent verify", "collectionagent inspect", "collectionagent compact",
		"strobectl top", "strobectl flamegraph", "strobectl diff", "strobectl timeline", "strobectl export", "strobectl import",
	} {
		args := strings.Fields(command)
		out, err := exec.Command(filepath.Join(bin, args[0]), append(args[1:], "-help")...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s -help: %v\n%s", command, err, out)
		}
		for _, m := range line.FindAllSubmatch(out, -1) {
			have = append(have, command+" "+string(m[1]))
		}
	}
	hold(t, "flags", have)
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
