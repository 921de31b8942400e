// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
)

var projectUsage = `Usage: ` + program + ` project COMMAND

Commands:
  create NAME   make a project, whose data only its own tokens open
  list          list projects
  remove NAME   remove a project that has no tokens; its data stays unless -data is given

The project "default" is always there. Names are 1 to 64 of a-z, 0-9, -, _ and .
"` + program + ` project COMMAND -help" tells the flags.
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
	f := newCommandFlags("project remove", "NAME [-data] [flags]", stderr)
	data := f.Bool("data", false, "delete the data of the project too, for good; the server must not run, unless the data are in ClickHouse")
	f.config.registerStore(f.FlagSet)
	operands, status, ok := f.parse(args, environ, 1, "the name of the project")
	if !ok {
		return status
	}
	name := operands[0]
	removed := int64(0)
	err := f.removable(name)
	if err == nil && *data {
		// First, so that the command can be repeated when it does not work.
		if err = f.config.Validate(); err == nil {
			f.config.KeepAges = true // those of other projects
			removed, err = deleteProjectData(&f.config, name, stderr)
		}
	}
	if err == nil {
		err = f.edit(func(file *auth.File) error { return file.RemoveProject(name) })
	}
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
	if *data {
		f.hint("project %s is removed, and with it %d samples and all that was known of it", name, removed)
		return exitOK
	}
	f.hint("project %s is removed; its data stays in the store and shows up again if the project is created again", name)
	return exitOK
}

// removable reports why a project cannot be removed. Nothing is changed.
func (f *commandFlags) removable(name string) error {
	file, err := f.read()
	if err != nil {
		return err
	}
	return file.RemoveProject(name)
}

// deleteProjectData deletes all that a project has in the store, and returns how many
// samples that were.
func deleteProjectData(c *Config, project string, stderr io.Writer) (removed int64, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	plan, err := c.memoryPlan()
	if err != nil {
		return 0, err
	}
	db, err := openStore(ctx, c, plan, nil, logger, newRegistry(), func(string) {})
	switch {
	case errors.Is(err, embedded.ErrLocked):
		return 0, fmt.Errorf("%w: the server runs; stop it first, or let it delete them: DELETE /api/v1/data?everything=true with a token of the project that has the role admin", err)
	case err != nil:
		return 0, err
	case db == nil:
		return 0, errors.New("interrupted; nothing was removed")
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if r, ok := db.(replaying); ok {
		if err := r.WaitReplayed(ctx); err != nil {
			return 0, err
		}
	}
	return db.Delete(ctx, &store.Deletion{Project: project})
}
