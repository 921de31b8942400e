// SPDX-License-Identifier: Apache-2.0

// Package objects keeps immutable files in object storage and reads parts of them
// through a bounded cache on the local disk.
package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// ErrNotFound is returned (wrapped) for an object that does not exist.
var ErrNotFound = errors.New("object does not exist")

// ErrExists is returned (wrapped) by PutNew for an object that exists.
var ErrExists = errors.New("object exists already")

// ErrAway is returned (wrapped) when the storage cannot be reached or does not do what it
// is asked. The operation may be repeated later.
var ErrAway = fmt.Errorf("object storage does not answer: %w", store.ErrAway)

// ErrDenied is returned (wrapped) when the storage refuses the credentials, or the
// bucket is not there: repeating helps when somebody has changed that.
var ErrDenied = fmt.Errorf("object storage refuses access: %w", store.ErrAway)

// ErrDamaged is returned (wrapped) when an object does not have the bytes that were put.
var ErrDamaged = errors.New("object is damaged")

// Object is an entry of a list.
type Object struct {
	Name     string
	Bytes    int64
	Modified time.Time
}

// Bucket is a place for objects. Names are relative to it and have slashes. All
// methods are safe for concurrent use. Errors wrap one of this package's where it
// is known what they mean.
type Bucket interface {
	// Put stores an object whole or not at all, in place of one of the same name.
	Put(ctx context.Context, name string, r io.ReadSeeker, size int64) error
	// PutNew stores a small object unless there is one of the name: ErrExists.
	PutNew(ctx context.Context, name string, content []byte) error
	// Get returns a small object, of limit bytes at most.
	Get(ctx context.Context, name string, limit int64) ([]byte, error)
	// ReadRange fills the buffer from an offset on.
	ReadRange(ctx context.Context, name string, b []byte, offset int64) error
	// Delete removes an object. One that is not there is no error.
	Delete(ctx context.Context, name string) error
	// List calls f with every object whose name starts with the prefix, until f
	// returns an error.
	List(ctx context.Context, prefix string, f func(Object) error) error
	// String describes the place, without secrets.
	String() string
}
