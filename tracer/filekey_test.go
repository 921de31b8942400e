// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// fileKeyOf returns the key of the file at a path.
func fileKeyOf(t testing.TB, path string) support.StrobeFileKey {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return support.StrobeFileKey{
		Ino: st.Ino, Dev: process.DeviceOf(&st), Mtime: uint64(st.Mtim.Sec), Size: uint64(st.Size),
	}
}
