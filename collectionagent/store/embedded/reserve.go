// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The reserve is a file without meaning that takes room while there is enough. On a full
// disk nothing could be opened, and nothing removed, because Pebble writes a little for
// either: giving the reserve up makes that possible. The store then serves queries,
// and retention can free more.

func (s *Store) reservePath() string { return filepath.Join(s.cfg.Dir, "reserve") }

// checkReserve gives the reserve up when the disk is as good as full, and takes it again
// when there is far more than that. free is the room on the disk.
func (s *Store) checkReserve(free uint64) {
	if s.cfg.ReserveBytes <= 0 {
		return
	}
	size := uint64(s.cfg.ReserveBytes) //nolint:gosec // positive
	info, err := os.Lstat(s.reservePath())
	if err == nil && info.Size() != s.cfg.ReserveBytes { // of another size, or a crash came before it had one
		if err = os.Remove(s.reservePath()); err == nil {
			err = fs.ErrNotExist
		}
	}
	switch {
	case err == nil && free < size/4:
		err = os.Remove(s.reservePath())
		s.logger.Warn("the disk is full; the room kept for this is given up", "bytes", size, "err", err)
	case errors.Is(err, fs.ErrNotExist) && free >= uint64(max(s.cfg.MinFreeBytes, 0))+4*size: //nolint:gosec // not negative
		if err := s.takeReserve(); err != nil {
			s.logger.Debug("no room is kept for when the disk is full", "err", err)
		}
	}
}

// takeReserve makes the file. Its blocks are allocated, not only its size.
func (s *Store) takeReserve() error {
	f, err := os.OpenFile(s.reservePath(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640) //nolint:gosec // the group may read the store, and this is empty
	if err != nil {
		return fmt.Errorf("create reserve: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, s.cfg.ReserveBytes) //nolint:gosec // a descriptor
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("allocate reserve: %w", err), os.Remove(s.reservePath()))
	}
	return nil
}
