// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command guest is the init of a guest of package vm.
package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/support/vm/internal/wire"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "this is the init of a virtual machine; see support/vm")
		os.Exit(2)
	}
	g := &guest{}
	if err := g.run(); err != nil {
		g.result.Error = err.Error()
		fmt.Fprintln(os.Stderr, "vm:", err) // the console
	}
	g.hand()
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // init must not end
}

type guest struct {
	cfg            wire.Config
	output, answer *os.File
	result         wire.Result
}

func (g *guest) warn(format string, a ...any) {
	g.result.Warnings = append(g.result.Warnings, fmt.Sprintf(format, a...))
}

func (g *guest) run() error {
	for _, m := range early {
		if err := m.mount(""); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(wire.ConfigFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &g.cfg); err != nil {
		return fmt.Errorf("%s: %w", wire.ConfigFile, err)
	}
	for _, name := range g.cfg.Modules {
		if err := load(filepath.Join(wire.ModulesDir, name)); err != nil {
			return err
		}
	}
	if g.output, err = port(wire.OutputPort); err != nil {
		return err
	}
	if g.answer, err = port(wire.ResultPort); err != nil {
		return err
	}
	_ = unix.Settimeofday(&unix.Timeval{Sec: g.cfg.Time})
	_ = unix.Sethostname([]byte(g.cfg.Hostname))
	if err := loopbackUp(); err != nil {
		g.warn("loopback: %v", err)
	}
	if err := g.enterRoot(); err != nil {
		return err
	}
	var u unix.Utsname
	_ = unix.Uname(&u)
	g.result.Kernel = unix.ByteSliceToString(u.Release[:])
	var up unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &up)
	g.result.BootSeconds = time.Duration(up.Nano()).Seconds()
	return g.command()
}

// command runs the command and, as every init, waits for all orphans meanwhile.
func (g *guest) command() error {
	path, err := lookPath(g.cfg.Args[0], g.cfg.Env)
	if err != nil {
		return err
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	started := time.Now()
	p, err := os.StartProcess(path, g.cfg.Args, &os.ProcAttr{
		Dir: g.cfg.Dir, Env: g.cfg.Env, Files: []*os.File{null, g.output, g.output}, Sys: &unix.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	pid := p.Pid
	limit := time.AfterFunc(time.Duration(g.cfg.Seconds)*time.Second, func() {
		g.result.TimedOut = true
		_ = unix.Kill(-1, unix.SIGKILL) // all but this one
	})
	var status unix.WaitStatus
	for {
		got, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for the command: %w", err)
		}
		if got == pid {
			break
		}
	}
	limit.Stop()
	g.result.Seconds = time.Since(started).Seconds()
	if g.result.Status = status.ExitStatus(); status.Signaled() {
		g.result.Status = 128 + int(status.Signal())
	}
	return nil
}

// lookPath finds a program in the PATH that the command gets, not that of init.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, e := range env {
		path, ok := strings.CutPrefix(e, "PATH=")
		for dir := range strings.SplitSeq(path, ":") {
			file := filepath.Join(dir, name)
			if st, err := os.Stat(file); ok && err == nil && st.Mode()&0o111 != 0 && !st.IsDir() {
				return file, nil
			}
		}
	}
	return "", fmt.Errorf("%s: not found in the guest", name)
}

// hand gives back the files that are wanted, and the result as the last of them.
func (g *guest) hand() {
	if g.answer == nil {
		return // the console has why
	}
	w := tar.NewWriter(g.answer)
	for _, root := range g.cfg.Collect {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !d.Type().IsRegular() {
				return nil
			}
			return add(w, path)
		})
		if err != nil {
			g.warn("collect %s: %v", root, err)
		}
	}
	b, _ := json.Marshal(g.result)
	_ = w.WriteHeader(&tar.Header{Name: wire.ResultFile, Mode: 0o644, Size: int64(len(b))})
	_, _ = w.Write(b)
	_ = w.Close()
	_ = g.answer.Close()
}

func add(w *tar.Writer, path string) error {
	f, err := os.Open(path) //nolint:gosec // the host asked for it
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: int64(st.Mode().Perm()), Size: st.Size(), ModTime: st.ModTime()}); err != nil {
		return err
	}
	_, err = io.CopyN(w, f, st.Size())
	return err
}
