// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// buildDir is where the programs of a whole binary of tests are built, "" if nobody said.
var buildDir string

// KeepBuilds has what [Start] and [Prepare] build put below dir and used again by all tests
// of this process. The caller, a TestMain, removes the folder in the end. Without it, it is
// built anew each time.
func KeepBuilds(dir string) { buildDir = dir }

// build is something that is built once.
type build struct {
	sync.Once
	path string
	err  error
}

var builds sync.Map // of *build, by name

// once has something built in a folder of its own by the first who needs it, and returns
// what make returned to that one. It is safe for concurrent use.
func once(t testing.TB, name string, compile func(dir string) (path string, err error)) (string, error) {
	t.Helper()
	if buildDir == "" {
		return compile(t.TempDir())
	}
	v, _ := builds.LoadOrStore(name, &build{})
	b, _ := v.(*build)
	b.Do(func() {
		dir := filepath.Join(buildDir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a test's folder
			b.err = fmt.Errorf("build subject %s: %w", name, err)
			return
		}
		b.path, b.err = compile(dir)
	})
	return b.path, b.err
}
