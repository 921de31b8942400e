// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a terminal, and what was written to it.
type pty struct {
	master, slave *os.File

	mu      sync.Mutex
	cond    *sync.Cond
	written bytes.Buffer
	closed  bool
}

func openPTY(t *testing.T, columns, rows uint16) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("needs pseudo-terminals: %v", err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("needs /dev/pts: %v", err)
	}
	p := &pty{master: master, slave: slave}
	p.cond = sync.NewCond(&p.mu)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			p.mu.Lock()
			p.written.Write(b[:n])
			p.closed = err != nil
			p.mu.Unlock()
			p.cond.Broadcast()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = slave.Close(); _ = master.Close() })
	return p
}

// all is a copy of what was written so far.
func (p *pty) all() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.written.Bytes())
}

// wait returns what was written once it contains text behind an offset, and the offset
// of its end.
func (p *pty) wait(t *testing.T, from int, text string) int {
	t.Helper()
	const patience = 2 * time.Minute
	start := time.Now() // before the alarm, which must find the time to be up
	deadline := time.AfterFunc(patience, p.cond.Broadcast)
	defer deadline.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if i := bytes.Index(p.written.Bytes()[from:], []byte(text)); i >= 0 {
			return from + i + len(text)
		}
		if p.closed || time.Since(start) >= patience {
			t.Fatalf("%q does not come; there is %q", text, p.written.Bytes()[from:])
		}
		p.cond.Wait()
	}
}

// program is this test as strobectl.
func program(t *testing.T, url string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "STROBECTL_TEST_MAIN=1", "STROBE_URL="+url, "TERM=xterm-256color", "COLORTERM=truecolor", "LANG=C.UTF-8", "LC_ALL=", "NO_COLOR=")
	return cmd
}

func (p *pty) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.slave, p.slave, p.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *state
}

// TestWatch presses keys, and ends the program in every way there is. The terminal is
// each time as it was.
func TestWatch(t *testing.T) {
	url := testServer(t)
	for name, end := range map[string]func(*pty, *exec.Cmd){
		"q":      func(p *pty, _ *exec.Cmd) { _, _ = p.master.WriteString("q") },
		"Ctrl-C": func(p *pty, _ *exec.Cmd) { _, _ = p.master.WriteString("\x03") },
		"TERM":   func(_ *pty, cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPTY(t, 100, 20)
			before := termios(t, p.slave)
			cmd := program(t, url, "watch", "top", "-from", "1h")
			p.start(t, cmd)
			at := p.wait(t, 0, "\x1b[?1049h")
			at = p.wait(t, at, "json.Encode(map[string]int)")
			if got := termios(t, p.slave); got.Lflag&unix.ICANON != 0 {
				t.Error("keys come line by line")
			}
			press := func(keys, want string) {
				t.Helper()
				if _, err := p.master.WriteString(keys); err != nil {
					t.Fatal(err)
				}
				at = p.wait(t, at, want)
			}
			press("s", "TOTAL*")
			press("/", "filter: ")
			press("pri", "filter: pri")
			press("\r", "Esc ends it")
			press("h", "by service")
			press("\x1b[B", "cron")
			press("\r", `{service="cron"}`)
			press("p", "PAUSED")
			press("?", "sort by self or by total")
			press("x", "shop")
			end(p, cmd)
			p.wait(t, at, "\x1b[?1049l")
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if got := termios(t, p.slave); got != before {
				t.Errorf("the terminal is %+v and was %+v", got, before)
			}
			if bytes.Contains(p.all(), []byte("\x1b[31mevil")) {
				t.Error("a name of a function has coloured the terminal")
			}
		})
	}
}

// TestSuspend stops the program with Ctrl-Z under a shell and lets it go on.
func TestSuspend(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	p := openPTY(t, 100, 20)
	cmd := program(t, testServer(t), "--norc", "-i")
	cmd.Path, cmd.Args[0] = bash, bash
	cmd.Env = append(cmd.Env, "STROBECTL="+os.Args[0], "PS1=ready> ")
	p.start(t, cmd)
	at := p.wait(t, 0, "ready> ")
	say := func(text, want string) {
		t.Helper()
		if _, err := p.master.WriteString(text); err != nil {
			t.Fatal(err)
		}
		at = p.wait(t, at, want)
	}
	say("\"$STROBECTL\" watch top -from 1h\n", "json.Encode(map[string]int)")
	say("\x1a", "\x1b[?1049l")
	at = p.wait(t, at, "ready> ")
	say("fg\n", "\x1b[?1049h")
	say("s", "TOTAL*")
	say("q", "\x1b[?1049l")
	at = p.wait(t, at, "ready> ")
	say("echo status $?.\n", "status 0.")
	say("exit\n", "exit")
}

// TestWatchWithoutServer says so on the screen, and goes on asking.
func TestWatchWithoutServer(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 100, 20)
	cmd := program(t, "http://127.0.0.1:1", "top", "-watch")
	p.start(t, cmd)
	at := p.wait(t, 0, "no answer from http://127.0.0.1:1")
	if _, err := p.master.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	p.wait(t, at, "\x1b[?1049l")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestWidth draws a flame graph as wide as the terminal.
func TestWidth(t *testing.T) {
	t.Parallel()
	url := testServer(t)
	for _, columns := range []uint16{20, 60, 150} {
		p := openPTY(t, columns, 30)
		cmd := program(t, url, "flamegraph", "-color", "never")
		p.start(t, cmd)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		p.wait(t, 0, "all")
		for line := range strings.Lines(string(p.all())) {
			line = strings.TrimRight(line, "\r\n")
			if strings.Contains(line, "%") && strings.Contains(line, "▏") && len([]rune(line)) > int(columns) {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
	}
}

// shellPath is a directory with this program as strobectl.
func shellPath(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "strobectl")); err != nil {
		t.Skip(err)
	}
	return dir
}

// TestCompletion lets shells complete.
func TestCompletion(t *testing.T) {
	url := testServer(t)
	bin := shellPath(t)
	shell := func(t *testing.T, script string, name string, args ...string) string {
		t.Helper()
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s", name)
		}
		cmd := exec.Command(name, args...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "STROBECTL_TEST_MAIN=1", "STROBE_URL="+url, "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+cmd.Dir, "TERM=dumb")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out)
	}
	// What is typed, and what must be offered.
	tests := []struct{ line, want string }{
		{"strobectl fl", "flamegraph"},
		{"strobectl watch ", "top"},
		{"strobectl top -proj", "-project"},
		{"strobectl top -type ", "on_cpu"},
		{"strobectl top -sort t", "total"},
		{"strobectl top serv", "service="},
		{"strobectl top -from 1h service=sh", "shop"},
		{"strobectl labels serv", "service"},
		{"strobectl timeline -by co", "comm"},
		{"strobectl callers shop.p", "shop.price"},
		{"strobectl completion f", "fish"},
	}
	t.Run("bash", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("source <(strobectl completion bash)\n")
		for _, test := range tests {
			// As readline does it: words are taken apart at = and the like.
			fmt.Fprintf(&b, `COMP_LINE=%q; COMP_POINT=${#COMP_LINE}; COMP_WORDS=($COMP_LINE); COMP_CWORD=1; COMPREPLY=(); _strobectl 2>/dev/null; echo "> ${COMPREPLY[*]}"`+"\n", test.line)
		}
		out := strings.Split(strings.TrimSpace(shell(t, b.String(), "bash", "--norc")), "\n")
		if len(out) != len(tests) {
			t.Fatalf("%q", out)
		}
		for i, test := range tests {
			if got := strings.Fields(out[i]); !slices.Contains(got[1:], test.want) {
				t.Errorf("%s: %q", test.line, got)
			}
		}
	})
	t.Run("bash types it", func(t *testing.T) {
		if _, err := exec.LookPath("bash"); err != nil {
			t.Skip("needs bash")
		}
		p := openPTY(t, 120, 30)
		cmd := exec.Command("bash", "--norc", "--noprofile", "-i")
		cmd.Env = append(os.Environ(), "STROBECTL_TEST_MAIN=1", "STROBE_URL="+url, "PATH="+bin+":"+os.Getenv("PATH"), "PS1=READY ", "TERM=dumb", "HISTFILE=")
		p.start(t, cmd)
		at := p.wait(t, 0, "READY ")
		_, _ = p.master.WriteString("source <(strobectl completion bash)\n")
		at = p.wait(t, at, "READY ")
		_, _ = io.WriteString(p.master, "strobectl top -from 1h servi\tsh\t -limit 1\n")
		at = p.wait(t, at, "service=shop  -limit 1")
		at = p.wait(t, at, "json.Encode")
		at = p.wait(t, at, "READY ")
		_, _ = io.WriteString(p.master, "strobectl top -from 1h '{servi\tsh\t -limit 1\n")
		at = p.wait(t, at, "-limit 1")
		p.wait(t, at, "json.Encode")
		_, _ = io.WriteString(p.master, "exit\n")
		_ = cmd.Wait()
	})
	t.Run("fish", func(t *testing.T) {
		for _, test := range tests {
			out := shell(t, "", "fish", "--no-config", "-c", fmt.Sprintf("strobectl completion fish | source; complete -C %q", test.line))
			found := false
			for line := range strings.Lines(out) {
				word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				found = found || word == test.want || strings.HasSuffix(word, "="+test.want)
			}
			if !found {
				t.Errorf("%s: %q", test.line, out)
			}
		}
	})
	t.Run("zsh types it", func(t *testing.T) {
		if _, err := exec.LookPath("zsh"); err != nil {
			t.Skip("needs zsh")
		}
		p := openPTY(t, 120, 30)
		cmd := exec.Command("zsh", "-f", "-i")
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "STROBECTL_TEST_MAIN=1", "STROBE_URL="+url, "PATH="+bin+":"+os.Getenv("PATH"), "PS1=READY ", "TERM=dumb", "HOME="+cmd.Dir)
		p.start(t, cmd)
		at := p.wait(t, 0, "READY ")
		_, _ = p.master.WriteString("source <(strobectl completion zsh)\n")
		at = p.wait(t, at, "READY ")
		_, _ = io.WriteString(p.master, "strobectl fla\t -from 1h servi\tsh\t\n")
		at = p.wait(t, at, "service=shop")
		p.wait(t, at, "all")
		_, _ = io.WriteString(p.master, "exit\n")
		_ = cmd.Wait()
	})
}

// TestCompletionWithoutServer is quick and silent.
func TestCompletionWithoutServer(t *testing.T) {
	if got := session(t, "http://127.0.0.1:1", "strobectl __complete -- top serv"); got != "$ strobectl __complete -- top serv\n\n" {
		t.Error(got)
	}
}
