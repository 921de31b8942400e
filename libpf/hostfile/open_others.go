// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package hostfile

import (
	"errors"
	"os"
)

// Open opens a regular file for reading. Here it is not looked at before it is opened:
// nobody is profiled on these systems, and what is opened was named by whoever runs this.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, Refuse(NotRegular, "open %s: %w", path, ErrNotRegular)
	}
	return os.Open(path)
}

// OpenInRoot returns an error that is [errors.ErrUnsupported].
func OpenInRoot(root, path string) (*os.File, error) {
	return nil, &os.PathError{Op: "open", Path: root + "/" + path, Err: errors.ErrUnsupported}
}

// OpenInRootNoFollow returns an error that is [errors.ErrUnsupported].
func OpenInRootNoFollow(root, path string) (*os.File, error) { return OpenInRoot(root, path) }

// OwnedBy returns an error that is [errors.ErrUnsupported].
func OwnedBy(f *os.File, _ ...uint32) error {
	return &os.PathError{Op: "stat", Path: f.Name(), Err: errors.ErrUnsupported}
}
