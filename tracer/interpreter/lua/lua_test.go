// SPDX-License-Identifier: Apache-2.0

package lua

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

func detect(t *testing.T, file string) error {
	t.Helper()
	b, err := Runtime{}.Detect(&interpreter.Executable{Path: file, Open: func() (*pfelf.File, error) { return pfelf.Open(file) }})
	if b != nil {
		t.Errorf("%s: plain Lua cannot be unwound, but %v is returned", file, b)
	}
	return err
}

func TestDetect(t *testing.T) {
	t.Parallel()
	if err := detect(t, "/proc/self/exe"); err != nil {
		t.Errorf("a test is taken for Lua: %v", err)
	}
	found := false
	for _, version := range []string{"5.1", "5.2", "5.3", "5.4", "5.5"} {
		file, err := exec.LookPath("lua" + version)
		if err != nil {
			continue
		}
		if file, err = filepath.EvalSymlinks(file); err != nil {
			t.Fatal(err)
		}
		err = detect(t, file)
		if err == nil {
			continue // it is in a library
		}
		var unsupported *interpreter.UnsupportedError
		if !errors.As(err, &unsupported) || !strings.HasPrefix(unsupported.Version, version) {
			t.Errorf("%s: %v", file, err)
		}
		found = true
	}
	if !found {
		skip.Because(t, "needs a program with plain Lua")
	}
}
