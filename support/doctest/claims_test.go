// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

type claim struct{ file, section string }

// TestEveryCommandIsTried wants a test that opens it for each section with
// blocks of sh, and such a section for each test that opens one.
func TestEveryCommandIsTried(t *testing.T) {
	t.Parallel()
	root := Root(t)
	wanted := map[claim]string{} // to where it is
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"} {
		files = append(files, filepath.Join(root, name))
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(root, path)
		blocks, err := Parse(name, src)
		if err != nil {
			t.Error(err)
		}
		for _, b := range blocks {
			if b.Lang == "bash" || b.Lang == "shell" || b.Lang == "console" {
				t.Errorf("%s: the language of commands is sh, not %s", b.Pos(), b.Lang)
			}
			if b.Lang == "sh" {
				wanted[claim{name, b.Section}] = b.Pos()
			}
		}
	}
	claimed := claims(t, root)
	for c, pos := range wanted {
		if claimed[c] == "" {
			t.Errorf("%s: no test runs the commands of the section %q: none calls doctest.Open(t, %q, %q)", pos, c.section, c.file, c.section)
		}
	}
	for c, pos := range claimed {
		if wanted[c] == "" {
			t.Errorf("%s: %s has no blocks of sh below the heading %q", pos, c.file, c.section)
		}
	}
}

// claims returns where tests call Open, by what they open.
func claims(t *testing.T, root string) map[claim]string {
	t.Helper()
	found := map[claim]string{}
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "strobe-data") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(src), "support/doctest\"") {
			return err
		}
		file, err := parser.ParseFile(set, path, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 3 {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || fun.Sel.Name != "Open" {
				return true
			}
			if pkg, ok := fun.X.(*ast.Ident); !ok || pkg.Name != "doctest" {
				return true
			}
			pos := set.Position(call.Pos()).String()
			name, ok1 := literal(call.Args[1])
			section, ok2 := literal(call.Args[2])
			if !ok1 || !ok2 {
				t.Errorf("%s: file and heading must be literals", pos)
			}
			found[claim{name, section}] = pos
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}
