// SPDX-License-Identifier: Apache-2.0

package ownca

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keepPrivate takes rights away from others that a file or directory must not give.
func keepPrivate(path string, mode fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("check mode: %w", err)
	}
	if info.Mode().Perm()&^mode == 0 {
		return nil
	}
	if err := os.Chmod(path, info.Mode().Perm()&mode); err != nil {
		return fmt.Errorf("others may read or write %s, which holds keys: %w", path, err)
	}
	return nil
}

// temporary writes a file that only its owner may read beside path.
func temporary(path string, content []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return f.Name(), nil
}

// replace writes a file as a whole or not at all.
func replace(path string, content []byte) error {
	name, err := temporary(path, content)
	if err != nil {
		return err
	}
	if err := os.Rename(name, path); err != nil {
		_ = os.Remove(name)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(path)
}

// create is replace for a file that is left alone if it is there, also if that
// happens in this moment.
func create(path string, content []byte) error {
	name, err := temporary(path, content)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(name) }() // gone if it was renamed
	switch err = os.Link(name, path); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil: // a file system without links
		if err = os.Rename(name, path); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return syncDir(path)
}

// syncDir makes the names in a directory last.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
