// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Patient repeats what fails on its way to a bucket, with pauses, and gives up on
// what takes too long. While the last operation failed each is only tried once, so that
// many who wait do not make an outage longer.
type Patient struct {
	Bucket
	// Attempts is how often an operation is tried. Default 4.
	Attempts int
	// Timeout bounds one attempt at a small operation; a large one gets time for its
	// bytes too. Default 20 s.
	Timeout time.Duration
	// Pause comes before the second attempt, and doubles then. Default 200 ms.
	Pause time.Duration
	// Observe is told of each attempt: the operation, its bytes and its error. May be nil.
	Observe func(operation string, bytes int64, took time.Duration, err error)

	failing atomic.Bool
}

var _ Bucket = (*Patient)(nil)

// leastRate is the rate in bytes per second below which an attempt is given up.
const leastRate = 256 << 10

// Failing reports whether the last operation failed because the storage is away.
func (p *Patient) Failing() bool { return p.failing.Load() }

// do runs an operation until it works, fails for good or was tried often enough.
func (p *Patient) do(ctx context.Context, operation string, bytes int64, f func(context.Context) error) error {
	attempts, timeout, pause := max(p.Attempts, 0), p.Timeout, p.Pause
	if attempts == 0 {
		attempts = 4
	}
	if timeout == 0 {
		timeout = 20 * time.Second
	}
	if pause == 0 {
		pause = 200 * time.Millisecond
	}
	timeout += time.Duration(bytes/leastRate) * time.Second
	for n := 1; ; n++ {
		started := time.Now()
		attempt, cancel := context.WithTimeout(ctx, timeout)
		err := f(attempt)
		cancel()
		if p.Observe != nil {
			p.Observe(operation, bytes, time.Since(started), err)
		}
		away := err != nil && (errors.Is(err, ErrAway) || errors.Is(err, context.DeadlineExceeded)) && ctx.Err() == nil
		if !away {
			if ctx.Err() == nil {
				p.failing.Store(false) // it answers
			}
			return err
		}
		if n >= attempts || p.failing.Load() {
			p.failing.Store(true)
			return err
		}
		select {
		case <-time.After(pause/2 + time.Duration(rand.Int64N(int64(pause)))): //nolint:gosec // only spreads attempts
		case <-ctx.Done():
			return err
		}
		pause *= 2
	}
}

// Put implements [Bucket].
func (p *Patient) Put(ctx context.Context, name string, r io.ReadSeeker, size int64) error {
	return p.do(ctx, "put", size, func(ctx context.Context) error {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return p.Bucket.Put(ctx, name, r, size)
	})
}

// PutNew implements [Bucket]. It is tried once: nobody knows whether an attempt that
// failed was the one that made the object.
func (p *Patient) PutNew(ctx context.Context, name string, content []byte) error {
	once := Patient{Bucket: p.Bucket, Attempts: 1, Timeout: p.Timeout, Observe: p.Observe}
	return once.do(ctx, "put", int64(len(content)), func(ctx context.Context) error { return p.Bucket.PutNew(ctx, name, content) })
}

// Get implements [Bucket].
func (p *Patient) Get(ctx context.Context, name string, limit int64) (b []byte, err error) {
	err = p.do(ctx, "get", 0, func(ctx context.Context) (err error) { b, err = p.Bucket.Get(ctx, name, limit); return err })
	return b, err
}

// ReadRange implements [Bucket].
func (p *Patient) ReadRange(ctx context.Context, name string, b []byte, offset int64) error {
	return p.do(ctx, "get", int64(len(b)), func(ctx context.Context) error { return p.Bucket.ReadRange(ctx, name, b, offset) })
}

// Delete implements [Bucket].
func (p *Patient) Delete(ctx context.Context, name string) error {
	return p.do(ctx, "delete", 0, func(ctx context.Context) error { return p.Bucket.Delete(ctx, name) })
}

// List implements [Bucket]. It is tried once, since f has seen a part when it fails.
func (p *Patient) List(ctx context.Context, prefix string, f func(Object) error) error {
	started := time.Now()
	err := p.Bucket.List(ctx, prefix, f)
	if p.Observe != nil {
		p.Observe("list", 0, time.Since(started), err)
	}
	return err
}
