// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
)

const projectUsage = `Usage: collectionagent project COMMAND

Commands:
  create NAME   make a project, whose data only its own tokens open
  list          list projects
  remove NAME   remove a project that has no tokens; its data stays

The project "default" is always there. Names are 1 to 64 of a-z, 0-9, -, _ and .
"collectionagent project COMMAND -help" tells the flags.
` + fileHelp

func projectCreate(args, environ []string, _, stderr io.Writer) int {
	f := newCommandFlags("project create", "NAME [flags]", stderr)
	operands, status, ok := f.parse(args, environ, 1, "the name of the project")
	if !ok {
		return status
	}
	name := operands[0]
	if err := f.edit(func(file *auth.File) error { return file.CreateProject(name, time.Now()) }); err != nil {
		return f.fail(err)
	}
	f.hint("project %s is there; a token for its agents: %s", name, f.with("token create -project "+name+" -role ingest"))
	return exitOK
}

// projectRow is a project as it is listed.
type projectRow struct {
	Name    string     `json:"name"`
	Created *time.Time `json:"created"`
	Tokens  int        `json:"tokens"`
}

func (r *projectRow) cells() []string {
	created := "always there"
	if r.Created != nil {
		created = day(*r.Created)
	}
	return []string{r.Name, created, strconv.Itoa(r.Tokens)}
}

func projectList(args, environ []string, stdout, stderr io.Writer) int {
	f := newCommandFlags("project list", "[-o table|json] [flags]", stderr)
	f.listFlag()
	if _, status, ok := f.parse(args, environ, 0, ""); !ok {
		return status
	}
	file, err := f.read()
	if err != nil {
		return f.fail(err)
	}
	tokens := map[string]int{}
	for i := range file.Tokens {
		tokens[file.Tokens[i].Project]++
	}
	rows := []projectRow{}
	if !slices.ContainsFunc(file.Projects, func(p auth.Project) bool { return p.Name == auth.DefaultProject }) {
		rows = append(rows, projectRow{auth.DefaultProject, nil, tokens[auth.DefaultProject]})
	}
	for i := range file.Projects {
		p := &file.Projects[i]
		rows = append(rows, projectRow{p.Name, &p.Created, tokens[p.Name]})
	}
	if err := writeList(stdout, f.format, rows, []string{"NAME", "CREATED", "TOKENS"}, (*projectRow).cells); err != nil {
		return f.fail(fmt.Errorf("print projects: %w", err))
	}
	return exitOK
}

func projectRemove(args, environ []string, _, stderr io.Writer) int {
	f := newCommandFlags("project remove", "NAME [flags]", stderr)
	operands, status, ok := f.parse(args, environ, 1, "the name of the project")
	if !ok {
		return status
	}
	name := operands[0]
	err := f.edit(func(file *auth.File) error { return file.RemoveProject(name) })
	switch {
	case errors.Is(err, auth.ErrInUse):
		return f.fail(fmt.Errorf("%w: revoke them first, see: %s", err, f.with("token list -project "+name)))
	case name == auth.DefaultProject && errors.Is(err, auth.ErrNotFound):
		return f.fail(fmt.Errorf("project %s cannot be removed", name))
	case errors.Is(err, auth.ErrNotFound):
		return f.fail(fmt.Errorf("%w; see: %s", err, f.with("project list")))
	case err != nil:
		return f.fail(err)
	}
	f.hint("project %s is removed; its data stays in the store and shows up again if the project is created again", name)
	return exitOK
}
