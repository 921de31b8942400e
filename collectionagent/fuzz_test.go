// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/strobe-profiler/strobe/support/hostile"
)

// FuzzLoad reads any bytes as the configuration file, and any text as the value of
// a variable: what is taken can be printed and is the same when it is read again.
func FuzzLoad(f *testing.F) {
	var printed bytes.Buffer
	c := Default()
	if err := printConfig(&printed, &c); err != nil {
		f.Fatal(err)
	}
	f.Add(printed.Bytes(), "1.5GiB")
	f.Add([]byte("data-dir: /x\nhead-max-bytes: 64MiB\nlog-level: debug\n"), "4096")
	f.Add([]byte("a: &a [*a]\n? {b: c}\n: 1\n"), "NaN")
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n"), "-1")
	path := filepath.Join(f.TempDir(), "fuzz.yaml")
	f.Fuzz(func(t *testing.T, file []byte, size string) {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		hostile.Bound(t, len(file)+len(size), 1<<10, func() {
			args := []string{"-config", path}
			c, _, err := load(args, []string{envPrefix + "MIN_FREE_BYTES=" + size}, io.Discard)
			if err != nil {
				return
			}
			if c.Validate() != nil {
				return
			}
			var printed bytes.Buffer
			if err := printConfig(&printed, c); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, printed.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			again, _, err := load(args, nil, io.Discard)
			if err != nil {
				t.Fatalf("what was printed does not load: %v\n%s", err, printed.Bytes())
			}
			if *again != *c {
				t.Fatalf("%+v became %+v", *c, *again)
			}
		})
	})
}
