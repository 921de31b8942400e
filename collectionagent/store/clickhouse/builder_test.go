// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"errors"
	"go/ast"
	"go/constant"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// sqlWord is found in every statement and in nothing else that this package writes.
var sqlWord = regexp.MustCompile(`\b(SELECT|INSERT|ALTER|CREATE|DELETE|DROP|OPTIMIZE|FROM|WHERE|UNION|GROUP BY|ORDER BY|VALUES)\b`)

// noImports lets a package be checked without those that it imports: only what is
// declared here matters.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }

// TestOneBuilder reads this package's source: every piece of SQL in it is a [text],
// which nothing from outside can become but through the methods of [statement] that
// quote, and nothing but a [statement] is sent.
func TestOneBuilder(t *testing.T) {
	fset := gotoken.NewFileSet()
	packages, err := parser.ParseDir(fset, ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0) //nolint:staticcheck // one directory
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, f := range packages["clickhouse"].Files {
		files = append(files, f)
	}
	info := types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	_, _ = config.Check("clickhouse", fset, files, &info) // of what is imported it knows nothing
	isText := func(e ast.Expr) bool {
		named, ok := info.Types[e].Type.(*types.Named)
		return ok && named.Obj().Name() == "text"
	}
	pieces, sent := 0, 0
	check := func(function string, n ast.Node) {
		where := func() string { return fset.Position(n.Pos()).String() }
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind != gotoken.STRING || !sqlWord.MatchString(constant.StringVal(info.Types[n].Value)) {
				return
			}
			if pieces++; !isText(n) {
				t.Errorf("%s: SQL that is no text: %s", where(), n.Value)
			}
		case *ast.SelectorExpr:
			x := info.Types[n.X].Type
			if x != nil && n.Sel.Name == "b" && strings.HasSuffix(x.String(), ".statement") && !strings.HasPrefix(where(), "sql.go:") {
				t.Errorf("%s: writes into a statement directly", where())
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "text" {
				// A statement that is a piece of another, and the name of a table, which
				// [Conn] says is quoted.
				if info.Types[n.Args[0]].Value == nil && function != "done" && function != "send" {
					t.Errorf("%s: makes a text of something that is not in the source", where())
				}
				return
			}
			name := ""
			switch f := n.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
			}
			query := -1
			switch name {
			case "Exec", "Query", "each", "one", "PrepareBatch":
				query = 1
			case "exec":
				query = 0
			}
			if query < 0 || len(n.Args) <= query {
				return
			}
			sent++
			switch q := n.Args[query].(type) {
			case *ast.Ident: // a parameter, or one of what a migration has
				if q.Name == "query" {
					return
				}
			case *ast.CallExpr:
				switch f := q.Fun.(type) {
				case *ast.Ident:
					if f.Name == "string" && isText(q.Args[0]) {
						return
					}
				case *ast.SelectorExpr:
					// What the layout returns it makes with a statement, too.
					if f.Sel.Name == "String" || strings.HasPrefix(f.Sel.Name, "create") {
						return
					}
				}
			}
			t.Errorf("%s: sends something that is no statement", where())
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			function := ""
			if fn, ok := d.(*ast.FuncDecl); ok {
				function = fn.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if g, ok := n.(*ast.GenDecl); ok && g.Tok == gotoken.IMPORT {
					return false
				}
				if n != nil {
					check(function, n)
				}
				return true
			})
		}
	}
	if pieces < 100 || sent < 30 {
		t.Errorf("only %d pieces of SQL and %d statements were found: the test does not see them", pieces, sent)
	}
}
