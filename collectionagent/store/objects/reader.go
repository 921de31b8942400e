// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"
)

// Pieces says how an object is checked: the CRC-32C of piece n.
type Pieces func(n int64) uint32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Reader reads objects through the cache.
type Reader struct {
	// Context ends all reads; [io.ReaderAt] has none. See also [File.Use].
	Context context.Context
	Bucket  Bucket
	Cache   *Cache
	// PieceBytes is the size of the pieces that the cache keeps and that have checksums.
	PieceBytes int64
	// Hit and Miss are called with bytes that were read from the cache and from the
	// storage, Failed when a piece had other bytes than it should. Any may be nil.
	Hit, Miss func(bytes int)
	Failed    func(error)
}

// File reads one object. It is an [io.ReaderAt]. It is safe for concurrent use.
type File struct {
	reader *Reader
	name   string
	size   int64
	sums   Pieces

	mu sync.Mutex
	// users are those who use the file, waiting those of them whose context has not ended.
	users, waiting int
	// fetches are the reads from the storage that are in progress.
	fetches map[*context.CancelFunc]struct{}
}

// Open returns a reader of an object of a size. Nothing is read yet.
func (r *Reader) Open(name string, size int64, sums Pieces) *File {
	return &File{reader: r, name: name, size: size, sums: sums}
}

// Use says that reads of the file, which have no context of their own, are made for
// somebody with one, until the function that is returned is called. While others use
// the file, too, nothing ends early; when the contexts of all of them have ended reads
// from the storage fail at once. Nobody may read without it at the same time.
func (f *File) Use(ctx context.Context) (done func()) {
	f.mu.Lock()
	f.users++
	f.waiting++
	f.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.waiting--; f.waiting == 0 {
			for cancel := range f.fetches {
				(*cancel)()
			}
		}
	})
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.users--
		if stop() {
			f.waiting--
		}
	}
}

// begin returns the context of a read from the storage, and what ends it.
func (f *File) begin() (context.Context, func()) {
	ctx, cancel := context.WithCancel(f.reader.Context)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users > 0 && f.waiting == 0 {
		cancel()
	}
	if f.fetches == nil {
		f.fetches = make(map[*context.CancelFunc]struct{})
	}
	f.fetches[&cancel] = struct{}{}
	return ctx, func() {
		cancel()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.fetches, &cancel)
	}
}

// ahead is how many pieces are read at once behind one that was read before:
// columns are read from their start to their end.
const ahead = 16

// ReadAt implements [io.ReaderAt].
func (f *File) ReadAt(b []byte, offset int64) (n int, err error) {
	if offset < 0 || offset > f.size {
		return 0, fmt.Errorf("read object %s: offset %d of %d bytes", f.name, offset, f.size)
	}
	short := int64(len(b)) > f.size-offset
	if short {
		b = b[:f.size-offset]
	}
	r := f.reader
	for n < len(b) {
		at := offset + int64(n)
		piece, within := at/r.PieceBytes, at%r.PieceBytes
		part := b[n:min(int64(len(b)), int64(n)+f.pieceSize(piece)-within)]
		if r.Cache.read(key{f.name, piece}, part, within) {
			if r.Hit != nil {
				r.Hit(len(part))
			}
			n += len(part)
			continue
		}
		done, err := f.fetch(b[n:], at)
		if err != nil {
			return n, err
		}
		n += done
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

// Size returns the size of the object.
func (f *File) Size() (int64, error) { return f.size, nil }

// Close does nothing: there is nothing open.
func (f *File) Close() error { return nil }

// pieceSize returns the size of a piece.
func (f *File) pieceSize(n int64) int64 {
	return min(f.reader.PieceBytes, f.size-n*f.reader.PieceBytes)
}

// fetch reads the piece at an offset, and some behind it, from the storage, and
// copies what b wants of them. What does not have its checksum is read again.
func (f *File) fetch(b []byte, at int64) (int, error) {
	r := f.reader
	first := at / r.PieceBytes
	last := (at + int64(len(b)) - 1) / r.PieceBytes
	if first > 0 && r.Cache.has(key{f.name, first - 1}) {
		last = max(last, first+ahead-1)
	}
	last = min(last, first+ahead-1, (f.size-1)/r.PieceBytes)
	for n := first + 1; n <= last; n++ {
		if r.Cache.has(key{f.name, n}) {
			last = n - 1
		}
	}
	start := first * r.PieceBytes
	buf := make([]byte, min((last+1)*r.PieceBytes, f.size)-start)
	ctx, end := f.begin()
	defer end()
	for attempt := 1; ; attempt++ {
		err := r.Bucket.ReadRange(ctx, f.name, buf, start)
		if err == nil {
			err = f.check(buf, first)
		}
		if err == nil {
			break
		}
		if cause := ctx.Err(); cause != nil { // what it was in the middle of does not matter
			return 0, fmt.Errorf("read object %s: %w", f.name, cause)
		}
		if !errors.Is(err, ErrDamaged) {
			return 0, err
		}
		if r.Failed != nil {
			r.Failed(err)
		}
		if attempt == 3 {
			return 0, err
		}
		select {
		case <-time.After(time.Duration(attempt) * 100 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("read object %s: %w", f.name, ctx.Err())
		}
	}
	if r.Miss != nil {
		r.Miss(len(buf))
	}
	for n := first; n <= last; n++ {
		piece := buf[(n-first)*r.PieceBytes:]
		// The cache only saves time: the query goes on without.
		if err := r.Cache.add(key{f.name, n}, piece[:f.pieceSize(n)]); err != nil && r.Failed != nil {
			r.Failed(err)
		}
	}
	return copy(b, buf[at-start:]), nil
}

// check compares pieces with their checksums.
func (f *File) check(buf []byte, first int64) error {
	for n := first; len(buf) > 0; n++ {
		piece := buf[:f.pieceSize(n)]
		if f.sums != nil && crc32.Checksum(piece, castagnoli) != f.sums(n) {
			return fmt.Errorf("read object %s: %w: checksum of bytes %d to %d does not match",
				f.name, ErrDamaged, n*f.reader.PieceBytes, n*f.reader.PieceBytes+int64(len(piece)))
		}
		buf = buf[len(piece):]
	}
	return nil
}
