// SPDX-License-Identifier: Apache-2.0

//go:build unix

package spool

import (
	"syscall"
	"testing"
)

// A child that was forked and has not executed its program yet shares the descriptor
// of the lock, as a duplicate does. It does not keep the directory locked.
func TestCloseUnlocks(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	dir, err := openDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := syscall.Dup(int(dir.(*osDirectory).lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited) //nolint:errcheck // it was never written to
	if err := dir.close(); err != nil {
		t.Fatal(err)
	}
	again, err := openDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.close(); err != nil {
		t.Error(err)
	}
}
