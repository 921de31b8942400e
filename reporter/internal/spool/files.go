// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"io"
	"syscall"
)

// directory is what the spool needs of a file system. Names are single elements.
type directory interface {
	// list returns the regular files with their sizes.
	list() (map[string]int64, error)
	// open opens a file that exists for reading.
	open(name string) (file, error)
	// create makes a new file for writing.
	create(name string) (file, error)
	// extend opens a file for writing at its end, made if need be.
	extend(name string) (file, error)
	remove(name string) error
	// sync makes the names durable.
	sync() error
	// close lets go of the directory, and of the lock on it.
	close() error
}

type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// Reason classifies an error of the file system in a word, for a counter.
func Reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "no_space"
	case errors.Is(err, syscall.EROFS):
		return "read_only"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "permission"
	case errors.Is(err, ErrInUse):
		return "in_use"
	case errors.Is(err, ErrTooLarge):
		return "too_large"
	case errors.Is(err, ErrFormat):
		return "format"
	}
	return "io"
}

// Errors that callers tell apart.
var (
	// ErrInUse: another process has the directory.
	ErrInUse = errors.New("the directory is used by another process")
	// ErrTooLarge: a record is larger than the cap.
	ErrTooLarge = errors.New("the batch is larger than the spool may become")
	// ErrFormat: a segment that another version of the agent wrote, in a format of its own.
	ErrFormat = errors.New("the segment has a format that this agent does not read")
)
