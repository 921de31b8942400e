// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned (wrapped) by [Open] while another process has the
// directory open.
var ErrLocked = errors.New("data directory is in use by another process")

// lockDir takes the lock of a data directory. It goes with the process, however that ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o640) //nolint:gosec // the group may read the store
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { //nolint:gosec // a descriptor
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
		}
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return f, nil
}

// unlockDir gives the lock back. Closing the file alone does not while a child
// that this process is just starting still holds the copy that it inherited.
func unlockDir(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_UN) //nolint:gosec // a descriptor
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("unlock data directory: %w", err)
	}
	return nil
}
