// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Options of a Shell. The zero value runs commands in the root of the repository.
type Options struct {
	Dir  string   // working directory, the root of the repository if empty
	Path []string // folders before those of PATH
	Env  []string // NAME=value, beside the environment of the test

	// Replace has texts of the commands that are others in the test, such as
	// addresses, ports and placeholders; the longest are replaced first. Each
	// has to be in a block that is run.
	Replace map[string]string

	// Chroot is a root directory with bash to run in, by chroot(8); needs root.
	// Dir is then a path in there.
	Chroot string

	// Timeout of each block, 5 minutes if 0, and less when the test or Deadline has less.
	Timeout time.Duration

	// Deadline of all blocks together, none if zero.
	Deadline time.Time

	// Grace is how long commands in the background have to end after SIGTERM, 30 s if 0.
	Grace time.Duration
}

// A Shell runs blocks one after another in one bash, which stops at the first
// command that fails, also within a pipe. Blocks may be of several sections. A
// Shell is for one goroutine.
type Shell struct {
	t       testing.TB
	section *Section
	opts    Options
	scratch string // for scripts and output, as this process sees it
	inside  string // as the shell sees it
	cmd     *exec.Cmd
	in      io.WriteCloser
	status  chan string
	blocks  int
	used    map[string]bool
}

// Shell starts a shell that ends with the test, and all it has started with it.
func (s *Section) Shell(t testing.TB, opts Options) *Shell {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = Root(t)
	}
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Minute
	}
	if opts.Grace == 0 {
		opts.Grace = 30 * time.Second
	}
	sh := &Shell{t: t, section: s, opts: opts, status: make(chan string, 1), used: map[string]bool{}}
	sh.scratch = t.TempDir()
	sh.inside = sh.scratch
	sh.cmd = exec.Command("bash", "--noprofile", "--norc")
	sh.cmd.Dir = opts.Dir
	if opts.Chroot != "" {
		dir, err := os.MkdirTemp(filepath.Join(opts.Chroot, "tmp"), "doctest")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		sh.scratch, sh.inside = dir, strings.TrimPrefix(dir, strings.TrimSuffix(opts.Chroot, "/"))
		sh.cmd = exec.Command("chroot", opts.Chroot, "bash", "--noprofile", "--norc")
	}
	sh.cmd.Env = append(os.Environ(), opts.Env...)
	if len(opts.Path) > 0 {
		path := append(slices.Clone(opts.Path), os.Getenv("PATH"))
		sh.cmd.Env = append(sh.cmd.Env, "PATH="+strings.Join(path, ":"))
	}
	sh.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	sh.start()
	return sh
}

func (sh *Shell) start() {
	sh.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		sh.t.Fatal(err)
	}
	sh.cmd.ExtraFiles = []*os.File{w} // 3: the status of each block
	sh.in, err = sh.cmd.StdinPipe()
	if err == nil {
		err = sh.cmd.Start()
	}
	_ = w.Close()
	if err != nil {
		sh.t.Fatalf("start the shell: %v", err)
	}
	go func() {
		defer r.Close() //nolint:errcheck // read only
		defer close(sh.status)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			sh.status <- lines.Text()
		}
	}()
	sh.t.Cleanup(sh.stop)
	if sh.opts.Chroot != "" {
		_, _ = fmt.Fprintf(sh.in, "cd %q\n", sh.opts.Dir)
	}
}

// Run runs a block and returns what it printed, both to stdout and stderr. It
// fails the test, with the place in the document, if a command fails, if the
// output is not what the document says, or if it takes too long.
func (sh *Shell) Run(b *Block) string {
	sh.t.Helper()
	sh.blocks++
	out, where, err := sh.run(b, false)
	if err == nil && b.HasWant && !Matches(b.Want, out) {
		where, err = b.Pos(), fmt.Errorf("the document says that it prints\n%s", b.Want)
	}
	if err != nil {
		sh.t.Fatalf("%s: %v\nit printed:\n%s", where, err, tail(out))
	}
	return out
}

// RunAll runs all blocks of the section that the shell was made of, in their order.
func (sh *Shell) RunAll() {
	sh.t.Helper()
	sh.RunSection(sh.section)
}

// RunSection runs all blocks of another section in their order, for a reader who
// goes on in the same shell.
func (sh *Shell) RunSection(s *Section) {
	sh.t.Helper()
	for i := range s.Len() {
		sh.Run(s.Block(i))
	}
}

// RunUntil runs a block again and again, as a reader does who waits for
// something to show, until it succeeds, prints what the document says, and ok,
// if not nil, says yes to the output. It runs in a subshell: what it sets is
// gone afterwards. It fails the test when that takes too long.
func (sh *Shell) RunUntil(b *Block, ok func(output string) bool) string {
	sh.t.Helper()
	sh.blocks++
	patience := sh.patience()
	deadline := time.Now().Add(patience)
	for {
		out, where, err := sh.run(b, true)
		switch {
		case err != nil:
		case b.HasWant && !Matches(b.Want, out):
			err = fmt.Errorf("the document says that it prints\n%s", b.Want)
		case ok != nil && !ok(out):
			err = errors.New("not what the test waits for")
		default:
			return out
		}
		if time.Now().After(deadline) {
			sh.t.Fatalf("%s: after %v still: %v\nit printed:\n%s", where, patience.Round(time.Millisecond), err, tail(out))
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (sh *Shell) run(b *Block, subshell bool) (out, where string, err error) {
	b.Ran()
	patience := sh.patience()
	if patience == 0 { // it might end before anybody looks at the clock
		return "", b.Pos(), errors.New("still running after 0s: there is no time left to begin")
	}
	name := fmt.Sprintf("%d-%s", sh.blocks, filepath.Base(b.File))
	// As many empty lines as are above it in the document: so the shell's own
	// messages and LINENO have the lines of the document.
	script := strings.Repeat("\n", b.Line-1) + sh.replace(b.Text)
	if err := os.WriteFile(filepath.Join(sh.scratch, name), []byte(script), 0o644); err != nil {
		return "", b.Pos(), err
	}
	failed := filepath.Join(sh.inside, name+".failed")
	run := fmt.Sprintf(`. %s </dev/null >%s 2>&1 3>&-`, filepath.Join(sh.inside, name), filepath.Join(sh.inside, name+".out"))
	_ = os.Remove(filepath.Join(sh.scratch, name+".failed")) // of the time before
	set := fmt.Sprintf(`set -eE -o pipefail; trap 'printf "%%s %%s\n" "$?" "$LINENO" >%s' ERR`, failed)
	if subshell {
		run = "( " + set + "; " + run + " ) 3>&-"
	} else {
		run = set + "; " + run + "; set +eE; trap - ERR"
	}
	_, _ = fmt.Fprintf(sh.in, "%s\nprintf '%%s\\n' $? >&3\n", run)

	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	status, alive := "", true
	select {
	case status, alive = <-sh.status:
	case <-timeout.C:
		err = fmt.Errorf("still running after %v", patience.Round(time.Millisecond))
	}
	text, readErr := os.ReadFile(filepath.Join(sh.scratch, name+".out"))
	if err == nil {
		err = readErr
	}
	where = b.Pos()
	if err != nil || (alive && status == "0") {
		return string(text), where, err
	}
	mark, _ := os.ReadFile(filepath.Join(sh.scratch, name+".failed"))
	code, line, _ := strings.Cut(strings.TrimSpace(string(mark)), " ")
	if n, err := strconv.Atoi(line); err == nil && n >= b.Line {
		where = fmt.Sprintf("%s:%d", b.File, n)
	}
	if code == "" {
		code = status
	}
	return string(text), where, fmt.Errorf("a command failed with status %s", code)
}

// patience is how long the next block may take: what is left until the deadline, and
// what the test has without the time to end what was started, which a test that is
// killed never does.
func (sh *Shell) patience() time.Duration {
	patience := sh.opts.Timeout
	if t, ok := sh.t.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := t.Deadline(); ok {
			patience = min(patience, time.Until(deadline)-sh.opts.Grace-5*time.Second)
		}
	}
	if !sh.opts.Deadline.IsZero() {
		patience = min(patience, time.Until(sh.opts.Deadline))
	}
	return max(patience, 0)
}

func (sh *Shell) replace(text string) string {
	old := slices.Collect(maps.Keys(sh.opts.Replace))
	slices.SortFunc(old, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	pairs := make([]string, 0, 2*len(old))
	for _, o := range old {
		if strings.Contains(text, o) {
			sh.used[o] = true
		}
		pairs = append(pairs, o, sh.opts.Replace[o])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// stop ends the shell and what it has started: first politely, then by force.
func (sh *Shell) stop() {
	_ = sh.in.Close()
	pgid := sh.cmd.Process.Pid
	_ = syscall.Kill(-pgid, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		_ = sh.cmd.Wait()
		close(ended)
	}()
	for deadline := time.Now().Add(sh.opts.Grace); running(pgid) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if running(pgid) {
		sh.t.Errorf("something that the document starts did not end %v after SIGTERM", sh.opts.Grace)
		_ = syscall.Kill(-pgid, syscall.SIGKILL)
	}
	<-ended
	if sh.t.Failed() {
		sh.printBackground()
		return
	}
	for old := range sh.opts.Replace {
		if !sh.used[old] {
			sh.t.Errorf("%q is in no block that was run, and need not be replaced", old)
		}
	}
}

// printBackground shows, for a test that failed, what every block printed up to the end.
func (sh *Shell) printBackground() {
	outs, _ := filepath.Glob(filepath.Join(sh.scratch, "*.out"))
	for _, out := range outs {
		if text, err := os.ReadFile(out); err == nil && len(text) > 0 {
			sh.t.Logf("%s:\n%s", filepath.Base(out), tail(string(text)))
		}
	}
}

// running reports whether a process of the group is more than a zombie, which
// is left for init to collect.
func running(pgid int) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text[max(0, strings.LastIndexByte(string(text), ')')):]), " ")
		fields := strings.Fields(rest) // state, ppid, pgrp
		if len(fields) > 2 && fields[2] == strconv.Itoa(pgid) && fields[0] != "Z" && fields[0] != "X" {
			return true
		}
	}
	return false
}

func tail(s string) string {
	const most = 8 << 10
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// WaitListen waits until something listens at an address, host:port, or fails
// the test after 5 minutes.
func WaitListen(t testing.TB, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("wait for %s: %v", address, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// WaitHTTP waits until a GET of the URL is answered with 200, or fails the test after 5 minutes.
func WaitHTTP(t testing.TB, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("status %s", resp.Status)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("wait for %s: %v", url, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
