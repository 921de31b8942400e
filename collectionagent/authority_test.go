// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/ownca"
)

// TestAuthority prints the authority of a server, and nothing that is none.
func TestAuthority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ask := func() (status int, out, errs string) {
		var stdout, stderr bytes.Buffer
		status = run([]string{"ca", "-data-dir", dir}, nil, &stdout, &stderr)
		return status, stdout.String(), stderr.String()
	}
	if status, out, errs := ask(); status != exitFailure || out != "" || !strings.Contains(errs, "ca.pem is not there") {
		t.Errorf("no authority: %d %q %q", status, out, errs)
	}
	a, err := ownca.Open(ownca.Config{Dir: filepath.Join(dir, "tls")})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(a.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	if status, out, errs := ask(); status != exitOK || out != string(want) || !strings.Contains(strings.ReplaceAll(errs, ":", ""), strings.ReplaceAll(a.Fingerprint(), ":", "")) {
		t.Errorf("%d %q %q, want %q of %s", status, out, errs, want, a.Fingerprint())
	}
	key, err := os.ReadFile(filepath.Join(dir, "tls", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.CAFile(), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := ask(); status != exitFailure || out != "" {
		t.Errorf("a key: %d %q", status, out)
	}
}
