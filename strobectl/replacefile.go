// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// replaceFile writes a file as a whole, or leaves what was there: a full disk does not
// cost the profile of yesterday. A file that exists keeps its permissions.
func replaceFile(name string, data []byte, mode fs.FileMode) error {
	info, err := os.Stat(name)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return os.WriteFile(name, data, mode) // a pipe or a device
	case err == nil:
		mode = info.Mode().Perm()
		// What a link points to is written, not the link.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".strobectl-*")
	if err != nil {
		// A file may be writable in a directory that is not.
		if info != nil && errors.Is(err, fs.ErrPermission) {
			return os.WriteFile(name, data, mode)
		}
		return renamed(err, name)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return renamed(errors.Join(err, os.Remove(f.Name())), name)
	}
	return nil
}

// renamed returns an error of a file that nobody knows as one of the file that was asked for.
func renamed(err error, name string) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: "write", Path: name, Err: of.Err}
	}
	return err
}
