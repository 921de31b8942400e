// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// Variables that tell the child what to do.
const (
	envLibrary = "CLICKHOUSETEST_LIBRARY" // path of libchdb
	envAddress = "CLICKHOUSETEST_ADDRESS" // where to listen
	envData    = "CLICKHOUSETEST_DATA"    // directory
)

// NewCurrent returns a server of the current version that is not started yet. It is
// the test binary, started again as a child: see [ServeCurrent].
func NewCurrent(t testing.TB) *Server {
	t.Helper()
	path := tracertest.Fetched(t, "chdb", "node_modules", "@chdb", "lib-linux-x64-gnu", "libchdb.so")
	dir := t.TempDir()
	s := &Server{Addr: freeAddress(t), t: t, name: "the current engine", log: filepath.Join(dir, "output.log")}
	s.command = func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec // this program
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TZ=UTC", envLibrary+"="+path, envAddress+"="+s.Addr, envData+"="+dir)
		return cmd
	}
	showLogs(t, s.log)
	t.Cleanup(s.Kill)
	return s
}

// StartCurrent starts a server of the current version.
func StartCurrent(t testing.TB) *Server {
	t.Helper()
	s := NewCurrent(t)
	s.Start()
	return s
}

// ServeCurrent does the child's work when the process is the child of [NewCurrent],
// and does not return then; else it returns at once.
func ServeCurrent() {
	path := os.Getenv(envLibrary)
	if path == "" {
		return
	}
	fmt.Fprintln(os.Stderr, serveCurrent(path, os.Getenv(envAddress), os.Getenv(envData)))
	os.Exit(1)
}

func serveCurrent(path, address, dir string) error {
	engine, err := openLibrary(path, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	spool := filepath.Join(dir, "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return (&front{engine: engine, spool: spool}).serve(l)
}
