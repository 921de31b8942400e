// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/internal/smallfile"
)

// stamp tells whether a file is still the same.
type stamp struct {
	device, inode uint64
	size          int64
	changed       syscall.Timespec // includes renames and changes of mode
	modified      syscall.Timespec
}

// stampOf returns the stamp of a file, of which nothing may be known.
func stampOf(info fs.FileInfo) stamp {
	if info == nil {
		return stamp{}
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{size: info.Size()}
	}
	return stamp{s.Dev, s.Ino, s.Size, s.Ctim, s.Mtim}
}

// Read returns what the file holds. Without a file, the error is (wrapped)
// [fs.ErrNotExist].
func Read(path string) (*File, error) {
	f, _, err := read(path)
	return f, err
}

// read returns what the file holds and the stamp of what was read.
func read(path string) (*File, stamp, error) {
	b, info, err := smallfile.Read(path, maxFileKiB)
	if err != nil {
		return nil, stampOf(info), fmt.Errorf("read projects and tokens: %w", err)
	}
	if err := checkMode(path, info, os.Geteuid()); err != nil {
		return nil, stampOf(info), err
	}
	f, err := decodeFile(b)
	if err != nil {
		return nil, stampOf(info), fmt.Errorf("read projects and tokens: %s: %w", path, err)
	}
	return f, stampOf(info), nil
}

// checkMode refuses a file that somebody beside the user euid may read or change. One of
// root's that the user can only read by its group is what Kubernetes makes of a Secret.
func checkMode(path string, info fs.FileInfo, euid int) error {
	others := fs.FileMode(0o066)
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid == 0 && euid != 0 {
		others = 0o026
	}
	if mode := info.Mode().Perm(); mode&others != 0 {
		return fmt.Errorf("read projects and tokens: %s has mode %04o, so that others can read or change it: run chmod 600 %[1]s", path, mode)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int64(s.Uid) != int64(euid) && euid != 0 {
		return fmt.Errorf("read projects and tokens: %s belongs to user %d, who can change it: run chown %d %[1]s", path, s.Uid, euid)
	}
	return nil
}

// lockTimeout bounds how long another program's change is waited for.
const lockTimeout = 10 * time.Second

// Edit changes the file: it reads it, hands it to change, and writes the result
// in one step unless change returns an error. A file that does not exist is
// empty, and is created. Other programs that edit the file wait, those that read
// it see the state before or after. When it returns nil the change is on disk.
func Edit(path string, change func(*File) error) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("create the folder of %s: %w", path, err)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path, dir = target, filepath.Dir(target) // the link stays
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return err
	}
	defer func() {
		// Closing alone does not unlock while a child that is just being started
		// still holds the copy of the file that it inherited.
		_ = unix.Flock(int(lock.Fd()), unix.LOCK_UN) //nolint:gosec // a descriptor
		_ = lock.Close()
	}()
	f, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = &File{Version: fileVersion}, nil
	}
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return fmt.Errorf("change projects and tokens: %w", err)
	}
	return write(path, dir, f)
}

// lockFile waits for the lock of all changes. The server does not take it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // beside the file that the operator names
	if err != nil {
		return nil, fmt.Errorf("lock projects and tokens: %w", err)
	}
	if err := keepOwner(f, filepath.Dir(path)); err != nil {
		_ = f.Close()
		return nil, err
	}
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a descriptor
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			_ = f.Close()
			return nil, fmt.Errorf("lock projects and tokens: %s is locked by another program: %w", path, err)
		}
	}
}

// write replaces the file in one step.
func write(path, dir string, f *File) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write projects and tokens: %w", err)
	}
	if len(b) >= maxFileKiB<<10 {
		return fmt.Errorf("write projects and tokens: the file would be larger than %d KiB: revoke tokens first", maxFileKiB)
	}
	temporary, err := os.CreateTemp(dir, ".auth-*.tmp") // mode 0600
	if err != nil {
		return fmt.Errorf("write projects and tokens: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // is gone if all went well
	like := path
	if _, err := os.Stat(path); err != nil {
		like = dir
	}
	_, err = temporary.Write(append(b, '\n'))
	err = errors.Join(err, keepOwner(temporary, like))
	err = errors.Join(err, temporary.Sync())
	if err = errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("write projects and tokens: %w", err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return fmt.Errorf("write projects and tokens: %w", err)
	}
	folder, err := os.Open(dir) //nolint:gosec // where the file is that the operator names
	if err != nil {
		return fmt.Errorf("write projects and tokens: %w", err)
	}
	err = folder.Sync()
	if err = errors.Join(err, folder.Close()); err != nil {
		return fmt.Errorf("write projects and tokens: %w", err)
	}
	return nil
}

// keepOwner gives a file the owner of another one when root writes it, so that
// the server, which has a user of its own, can still read it.
func keepOwner(f *os.File, like string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(like)
	if err != nil {
		return fmt.Errorf("find the owner of %s: %w", like, err)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(s.Uid), int(s.Gid)); err != nil {
			return fmt.Errorf("keep the owner of %s: %w", like, err)
		}
	}
	return nil
}
