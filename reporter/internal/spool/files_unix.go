// SPDX-License-Identifier: Apache-2.0

//go:build unix

package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file whose lock says that the directory is in use.
const lockName = "lock"

// osDirectory is a directory of this host. Only its owner may enter it, so what
// was checked when it was opened cannot be exchanged by others.
type osDirectory struct {
	path string
	lock *os.File
}

// openDirectory makes the directory if need be, checks that it is ours and no link, and locks it.
func openDirectory(path string) (directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory, or a link to one", path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s belongs to user %d and not to this process: %w", path, st.Uid, fs.ErrPermission)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a directory
			return nil, err
		}
	}
	lock, err := openFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), lock.Close())
	}
	return &osDirectory{path: path, lock: lock}, nil
}

// openFile never follows a link and opens regular files only.
func openFile(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600) //nolint:gosec // in the directory of the spool, and no link
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (d *osDirectory) list() (map[string]int64, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64, len(entries))
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			sizes[e.Name()] = info.Size()
		}
	}
	return sizes, nil
}

func (d *osDirectory) at(name string, flags int) (file, error) {
	f, err := openFile(filepath.Join(d.path, name), flags)
	if err != nil {
		return nil, err // not f: a nil file in an interface is not nil
	}
	return f, nil
}

func (d *osDirectory) open(name string) (file, error) { return d.at(name, os.O_RDONLY) }
func (d *osDirectory) create(name string) (file, error) {
	return d.at(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}
func (d *osDirectory) extend(name string) (file, error) { return d.at(name, os.O_RDWR|os.O_CREATE) }
func (d *osDirectory) remove(name string) error         { return os.Remove(filepath.Join(d.path, name)) }

func (d *osDirectory) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// close unlocks explicitly: a child that is being forked elsewhere in the process shares
// the lock until it executes its program, and closing our descriptor alone would leave it locked.
func (d *osDirectory) close() error {
	err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_UN)
	return errors.Join(err, d.lock.Close())
}
