// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/query"
)

var tokenUsage = `Usage: ` + program + ` token COMMAND

Commands:
  create -project P -role R   make a token and print it, this once
  list                        list tokens, without their secrets
  rotate ID                   give a token a new secret and print it, this once
  revoke ID                   make a token worthless

Roles: ingest (agents send data), query (people and tools look at it), admin
(everything). A token opens one project, or with -project '*' all of them.
"` + program + ` token COMMAND -help" tells the flags.
` + fileHelp

func tokenCreate(args, environ []string, stdout, stderr io.Writer) int {
	f := newCommandFlags("token create", "-project P -role ROLE[,ROLE] [flags]", stderr)
	project := f.String("project", "", "`project` that the token opens, or * for all; needed")
	role := f.String("role", "", "`roles`, separated by commas: ingest, query, admin; needed")
	name := f.String("name", "", "`text` that says what the token is for")
	expires := f.String("expires", "", "`time` after which the token is worthless, as 12h or 90d (default never)")
	if _, status, ok := f.parse(args, environ, 0, ""); !ok {
		return status
	}
	if *project == "" || *role == "" {
		return f.misuse("-project and -role are needed, as in: %s", f.with("token create -project default -role ingest"))
	}
	roles, err := auth.ParseRoles(*role)
	if err != nil {
		return f.misuse("-role: %v", err)
	}
	now := time.Now()
	n := auth.NewToken{Project: *project, Roles: roles, Name: *name}
	if *expires != "" {
		d, err := query.ParseDuration(*expires)
		if err != nil {
			return f.misuse("-expires: %q: %v", *expires, err)
		}
		n.Expires = now.Add(d)
	}
	var text, id string
	err = f.edit(func(file *auth.File) (err error) {
		text, id, err = file.CreateToken(n, now)
		return err
	})
	if errors.Is(err, auth.ErrNotFound) {
		return f.fail(fmt.Errorf("%w; create it with: %s", err, f.with("project create "+*project)))
	}
	if err != nil {
		return f.fail(err)
	}
	return f.printToken(stdout, text, fmt.Sprintf("token %s of project %s, roles %s, expires %s", id, *project, roles, day(n.Expires)), *project, roles)
}

// printToken prints a token on standard output, alone, and what to do with it elsewhere.
func (f *commandFlags) printToken(stdout io.Writer, text, what, project string, roles auth.Roles) int {
	if _, err := fmt.Fprintln(stdout, text); err != nil {
		return f.fail(fmt.Errorf("print token: %w", err))
	}
	f.hint("%s", what)
	f.hint("It is shown only now; %s keeps its hash.", f.config.authFile())
	if roles.Has(auth.RoleIngest) && project != auth.AllProjects {
		f.hint("For an agent: put it into a file of mode 0600 and start the agent with -token-file FILE.")
	}
	if roles.Has(auth.RoleQuery) {
		f.hint("For the page: log in with it. For programs: send the header Authorization: Bearer TOKEN.")
	}
	return exitOK
}

// tokenRow is a token as it is listed.
type tokenRow struct {
	ID      string     `json:"id"`
	Project string     `json:"project"`
	Roles   []string   `json:"roles"`
	State   string     `json:"state"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires"`
	Name    string     `json:"name"`
}

func (r *tokenRow) cells() []string {
	expires := time.Time{}
	if r.Expires != nil {
		expires = *r.Expires
	}
	return []string{r.ID, r.Project, strings.Join(r.Roles, ","), r.State, day(r.Created), day(expires), cmp.Or(r.Name, "-")}
}

func tokenList(args, environ []string, stdout, stderr io.Writer) int {
	f := newCommandFlags("token list", "[-project P] [-o table|json] [flags]", stderr)
	project := f.String("project", "", "only the tokens of this `project` (default all)")
	f.listFlag()
	if _, status, ok := f.parse(args, environ, 0, ""); !ok {
		return status
	}
	file, err := f.read()
	if err != nil {
		return f.fail(err)
	}
	now := time.Now()
	rows := []tokenRow{}
	for i := range file.Tokens {
		t := &file.Tokens[i]
		if *project != "" && t.Project != *project {
			continue
		}
		row := tokenRow{t.ID, t.Project, t.Roles, t.State(now), t.Created, nil, t.Name}
		if !t.Expires.IsZero() {
			row.Expires = &t.Expires
		}
		rows = append(rows, row)
	}
	head := []string{"ID", "PROJECT", "ROLES", "STATE", "CREATED", "EXPIRES", "NAME"}
	if err := writeList(stdout, f.format, rows, head, (*tokenRow).cells); err != nil {
		return f.fail(fmt.Errorf("print tokens: %w", err))
	}
	if len(rows) == 0 {
		f.hint("There are no tokens; create one with: %s", f.with("token create -project default -role ingest"))
	}
	return exitOK
}

func tokenRotate(args, environ []string, stdout, stderr io.Writer) int {
	f := newCommandFlags("token rotate", "ID [-grace TIME] [flags]", stderr)
	grace := f.String("grace", "24h", "`time` for which the secret before stays good, as 24h or 7d; 0: none")
	operands, status, ok := f.parse(args, environ, 1, "the ID of a token")
	if !ok {
		return status
	}
	var d time.Duration
	var err error
	if *grace != "0" {
		if d, err = query.ParseDuration(*grace); err != nil {
			return f.misuse("-grace: %q: %v", *grace, err)
		}
	}
	now := time.Now()
	var text, project string
	var roles auth.Roles
	err = f.edit(func(file *auth.File) (err error) {
		for _, t := range file.Tokens {
			if t.ID == operands[0] {
				project = t.Project
				roles, _ = auth.ParseRoles(strings.Join(t.Roles, ",")) // was checked
			}
		}
		text, err = file.RotateToken(operands[0], d, now)
		return err
	})
	if err != nil {
		return f.failToken(err)
	}
	until := "is worthless now"
	if d > 0 {
		until = "is good until " + day(now.Add(d)) + " UTC; -grace 0 would end it at once"
	}
	return f.printToken(stdout, text, fmt.Sprintf("new secret of token %s; the one before %s", operands[0], until), project, roles)
}

func tokenRevoke(args, environ []string, _, stderr io.Writer) int {
	f := newCommandFlags("token revoke", "ID [flags]", stderr)
	operands, status, ok := f.parse(args, environ, 1, "the ID of a token")
	if !ok {
		return status
	}
	if err := f.edit(func(file *auth.File) error { return file.RevokeToken(operands[0]) }); err != nil {
		return f.failToken(err)
	}
	f.hint("token %s is worthless within a second", operands[0])
	return exitOK
}

// failToken prints an error about a token, and how to find the right one.
func (f *commandFlags) failToken(err error) int {
	if errors.Is(err, auth.ErrNotFound) {
		err = fmt.Errorf("%w; see: %s", err, f.with("token list"))
	}
	return f.fail(err)
}
