// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/support/skip"
)

// On a full file system the spool fails and recovers as on a fault.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		skip.Because(t, "needs root: it mounts a small tmpfs")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=700"); err != nil {
		skip.Because(t, "cannot mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(Options{Dir: filepath.Join(dir, "spool"), MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // end of the test
	i := uint64(1)
	for ; ; i++ {
		r := testRecord(i)
		if _, err := s.Append(&r, false); err != nil {
			if Reason(err) != "no_space" {
				t.Fatal(err)
			}
			break
		}
		if i > 10_000 {
			t.Fatal("never full")
		}
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	got, orders := readAll(t, s)
	if diff := cmp.Diff(upTo(1, i-1), got); diff != "" {
		t.Fatal(diff)
	}
	for _, order := range orders {
		s.Settle(order)
	}
	appendTest(t, s, 1, 50)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err == nil {
		t.Error("remounted with a file open for writing") // Close must let go of them
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(dir, "spool"), MaxBytes: 1 << 20}); Reason(err) != "read_only" {
		t.Errorf("a read-only disk: %v", err)
	}
}
