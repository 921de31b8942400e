// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Build makes an image of a static Go program and nothing else, without any base: no image has to
// be pulled. The program is the package's path, which must not need cgo; it has the name of its
// folder.
func (d *Daemon) Build(t testing.TB, image, pkg string) {
	t.Helper()
	dir, name := t.TempDir(), filepath.Base(pkg)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	dockerfile := fmt.Sprintf("FROM scratch\nCOPY %[1]s /%[1]s\nENTRYPOINT [%[2]q]\n", name, "/"+name)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Run(t, "docker", "build", "-q", "-t", image, dir)
}
