// SPDX-License-Identifier: Apache-2.0

package record

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOutputIsPrivate keeps profiles from other users: they tell what runs on the host.
func TestOutputIsPrivate(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "profile")
	o, err := openOutput(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := o.finish(true); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %04o", mode)
	}
}
