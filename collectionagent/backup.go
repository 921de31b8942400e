// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
)

// storeHelp is part of the help of the commands below.
const storeHelp = `
They work with -store embedded, while the server runs (on the same machine, as its
user or root) or not. Settings may also come from the environment or the file of
-config, as for the server; -object-store is needed where blocks are in it.
`

// newStoreFlags returns the flags of a command on a data directory.
func newStoreFlags(name, usage, what string, stderr io.Writer) *commandFlags {
	f := newCommandFlags(name, usage, stderr)
	f.help = "\n" + what + storeHelp
	f.config.Objects.register(f.FlagSet)
	return f
}

// parseStore is parse for a command on a data directory.
func (f *commandFlags) parseStore(args, environ []string, wanted int, what string) (operands []string, status int, ok bool) {
	operands, status, ok = f.parse(args, environ, wanted, what)
	if ok && f.config.Store == storeClickHouse {
		return nil, f.fail(fmt.Errorf("%s: -store is clickhouse: use the server's own tools, this command is for the embedded engine", f.Name())), false
	}
	return operands, status, ok
}

// interruptible returns a context that ends with SIGINT and SIGTERM.
func interruptible() (context.Context, func()) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

const backupHelp = `Makes a backup: an archive when the name ends with .tar or is - (standard output), else
a directory, which must be empty or new. Everything that was acknowledged before it
began is in it, with projects, tokens and certificates that are in the data directory:
keep it secret. The server goes on meanwhile.
`

func backup(args, environ []string, stdout, stderr io.Writer) int {
	f := newStoreFlags("backup", "DIR|FILE.tar|- [flags]", backupHelp, stderr)
	operands, status, ok := f.parseStore(args, environ, 1, "where to put the backup")
	if !ok {
		return status
	}
	ctx, stop := interruptible()
	defer stop()
	m, err := backupTo(ctx, &f.config, operands[0], stdout)
	if err != nil {
		return f.fail(fmt.Errorf("backup: %w", err))
	}
	var n int64
	for i := range m.Files {
		n += m.Files[i].Bytes
	}
	f.hint("backup of %d files, %d bytes, is whole: %s", len(m.Files), n, operands[0])
	for _, path := range m.Damaged {
		f.hint("PROBLEM %s was damaged already, and is in the backup as it is; \"%s verify\" says more", path, program)
	}
	if len(m.Damaged) > 0 {
		return exitFailure
	}
	return exitOK
}

// backupTo makes a backup and checks what has arrived.
func backupTo(ctx context.Context, c *Config, to string, stdout io.Writer) (m *embedded.Manifest, err error) {
	source, err := openBackup(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := source.Close(); !errors.Is(err, closeErr) { // it may have come with the archive already
			err = errors.Join(err, closeErr)
		}
	}()
	switch {
	case to == "-":
		return embedded.CheckArchive(ctx, io.TeeReader(source, stdout))
	case !strings.HasSuffix(to, ".tar"):
		return embedded.Unpack(ctx, source, to)
	}
	file, err := os.OpenFile(to+".partial", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // named by the operator
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(to + ".partial") //nolint:gosec // made above
		}
	}()
	m, err = embedded.CheckArchive(ctx, io.TeeReader(source, file))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return m, os.Rename(to+".partial", to) //nolint:gosec // named by the operator
}

// openBackup returns the archive, from the server if one runs.
func openBackup(ctx context.Context, c *Config) (io.ReadCloser, error) {
	answer, err := askServer(ctx, c, "backup") //nolint:bodyclose // the archive closes it
	if err == nil {
		return &archive{Reader: answer.Body, close: func() error {
			if text := answer.Trailer.Get(errorTrailer); text != "" {
				return errors.Join(errors.New(text), answer.Body.Close())
			}
			return answer.Body.Close()
		}}, nil
	}
	if !errors.Is(err, errNoServer) {
		return nil, err
	}
	bucket, err := c.Objects.open()
	if err != nil {
		return nil, err
	}
	extra, err := extraFiles(c)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := embedded.BackupDir(ctx, c.DataDir, bucket, w, extra)
		_ = w.CloseWithError(err) // never fails
		done <- err
	}()
	return &archive{Reader: r, close: func() error {
		_ = r.Close() // never fails
		if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
			return err
		}
		return nil
	}}, nil
}

// archive is a backup on its way.
type archive struct {
	io.Reader
	close func() error
}

// Close says what went wrong on the other side.
func (a *archive) Close() error { return a.close() }

const restoreHelp = `Makes an empty or new -data-dir from a backup, which is checked. Batches that are
in it are known as repeats; agents send again what names their frames.
`

func restore(args, environ []string, _, stderr io.Writer) int {
	f := newStoreFlags("restore", "DIR|FILE.tar|- [flags]", restoreHelp, stderr)
	operands, status, ok := f.parseStore(args, environ, 1, "a backup")
	if !ok {
		return status
	}
	ctx, stop := interruptible()
	defer stop()
	var archive io.Reader
	info, err := os.Stat(operands[0]) //nolint:gosec // named by the operator
	switch {
	case operands[0] == "-":
		archive = os.Stdin
	case err != nil:
		return f.fail(fmt.Errorf("restore: %w", err))
	case !info.IsDir():
		file, err := os.Open(operands[0]) //nolint:gosec // named by the operator
		if err != nil {
			return f.fail(fmt.Errorf("restore: %w", err))
		}
		defer func() { _ = file.Close() }() // was only read
		archive = file
	}
	m, err := embedded.Restore(ctx, operands[0], archive, f.config.DataDir)
	if err != nil {
		return f.fail(fmt.Errorf("restore: %w", err))
	}
	f.hint("%s has the backup of %s; start the server on it", f.config.DataDir, m.Created.Format(time.DateTime))
	return exitOK
}

const verifyHelp = `Reads everything: checksums of all files, rows against their tables, definitions, the log.
-data-dir may also be a backup that is a directory. Exit status: 0 when all is well, 1
when something is damaged; each problem says what to do.
`

func verify(args, environ []string, stdout, stderr io.Writer) int {
	f := newStoreFlags("verify", "[-o table|json] [flags]", verifyHelp, stderr)
	f.listFlag()
	if _, status, ok := f.parseStore(args, environ, 0, ""); !ok {
		return status
	}
	ctx, stop := interruptible()
	defer stop()
	e := json.NewEncoder(stdout)
	report := func(finding *embedded.Finding) {
		if f.format == "json" {
			_ = e.Encode(verifyLine{Finding: finding})
			return
		}
		kind, then := "note", ""
		if finding.Problem {
			kind = "PROBLEM"
		}
		if finding.Do != "" {
			then = "\n        do: " + finding.Do
		}
		_, _ = fmt.Fprintf(stdout, "%s %s: %s%s\n", kind, finding.Path, finding.What, then)
	}
	v, err := verifyStore(ctx, &f.config, report)
	if err != nil {
		return f.fail(fmt.Errorf("verify: %w", err))
	}
	if f.format == "json" {
		_ = e.Encode(verifyLine{Verified: v})
	} else {
		_, _ = fmt.Fprintf(stdout, "%d blocks in %d files with %d samples, %d bytes; %d definitions; %d batches in the log; %d problems\n",
			v.Blocks, v.Files, v.Rows, v.Bytes, v.Definitions, v.Batches, v.Problems)
		if v.WithoutSums > 0 {
			_, _ = fmt.Fprintf(stdout, "%d files are of an older version and have no checksum\n", v.WithoutSums)
		}
	}
	if v.Problems > 0 {
		return exitFailure
	}
	return exitOK
}

// verifyStore verifies a store, through the server if one runs.
func verifyStore(ctx context.Context, c *Config, report func(*embedded.Finding)) (*embedded.Verified, error) {
	answer, err := askServer(ctx, c, "verify")
	if errors.Is(err, errNoServer) {
		bucket, err := c.Objects.open()
		if err != nil {
			return nil, err
		}
		return embedded.VerifyDir(ctx, c.DataDir, bucket, report)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // was only read
	for d := json.NewDecoder(answer.Body); ; {
		var line verifyLine
		switch err := d.Decode(&line); {
		case err != nil:
			return nil, fmt.Errorf("the server ended in the middle: %w", err)
		case line.Error != "":
			return nil, errors.New(line.Error)
		case line.Verified != nil:
			return line.Verified, nil
		case line.Finding != nil:
			report(line.Finding)
		}
	}
}

const inspectHelp = `Lists the blocks of a store and what else it has. -data-dir may also be a backup
that is a directory.
`

func inspect(args, environ []string, stdout, stderr io.Writer) int {
	f := newStoreFlags("inspect", "[-o table|json] [flags]", inspectHelp, stderr)
	f.listFlag()
	if _, status, ok := f.parseStore(args, environ, 0, ""); !ok {
		return status
	}
	ctx, stop := interruptible()
	defer stop()
	i, err := inspectStore(ctx, &f.config)
	if err != nil {
		return f.fail(fmt.Errorf("inspect: %w", err))
	}
	if f.format == "json" {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(i)
	} else {
		err = printInspection(stdout, i)
	}
	if err != nil {
		return f.fail(err)
	}
	return exitOK
}

func inspectStore(ctx context.Context, c *Config) (*embedded.Inspection, error) {
	answer, err := askServer(ctx, c, "inspect")
	if errors.Is(err, errNoServer) {
		return embedded.InspectDir(ctx, c.DataDir)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // was only read
	var i embedded.Inspection
	if err := json.NewDecoder(answer.Body).Decode(&i); err != nil {
		return nil, fmt.Errorf("the server ended in the middle: %w", err)
	}
	return &i, nil
}

// printInspection writes what a store consists of as a table.
func printInspection(w io.Writer, i *embedded.Inspection) error {
	head := []string{"BLOCK", "LEVEL", "PROJECT", "TYPE", "FROM", "TO", "SAMPLES", "SERIES", "BYTES", "WHERE", "ROLL-UPS"}
	err := writeList(w, "table", i.Blocks, head, func(b *embedded.InspectBlock) []string {
		var sums []string
		for _, s := range b.Companions {
			sums = append(sums, fmt.Sprintf("%s %d", s.Kind, s.Rows))
		}
		project, typ := b.Project, b.Type
		if b.Level == 0 {
			project, typ = "(all)", "(all)"
		}
		return []string{
			strconv.FormatUint(b.Number, 10), strconv.Itoa(b.Level), project, typ, b.From.Format(time.DateTime), b.To.Format(time.DateTime),
			strconv.FormatInt(b.Rows, 10), strconv.Itoa(b.Series), strconv.FormatInt(b.Bytes, 10), b.Where, strings.Join(sums, ", "),
		}
	})
	var logBytes int64
	for _, l := range i.Log {
		logBytes += l.Bytes
	}
	d := i.Definitions
	_, printErr := fmt.Fprintf(w, "\n%d blocks: %d samples, %d bytes on disk, %d in object storage; log: %d segments, %d bytes\n"+
		"definitions: %d stacks, %d symbols, %d executables, %d hosts; sequences of batches that are remembered: %d of samples, %d of definitions\n"+
		"format %s, epoch %s\n", len(i.Blocks), i.Totals.Rows, i.Totals.DiskBytes, i.Totals.ObjectBytes, len(i.Log), logBytes,
		d.Stacks, d.Symbols, d.Executables, d.Hosts, i.Windows.Samples, i.Windows.Definitions, i.Format, i.Epoch)
	return errors.Join(err, printErr)
}
