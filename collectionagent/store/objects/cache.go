// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Cache keeps pieces of objects in one file of a fixed size; those that rested
// longest make room for others. It starts empty: the file has no name, and goes with the
// process. It is safe for concurrent use.
type Cache struct {
	file  *os.File
	piece int64

	mu    sync.Mutex
	slots map[key]*list.Element // of slot
	// used has the slots that were used last in front.
	used *list.List
	free []int64
	// next is the first slot that was never used, of limit.
	next, limit int64
	bytes       int64
}

// key names a piece of an object.
type key struct {
	object string
	piece  int64
}

// slot is a place in the file.
type slot struct {
	key    key
	number int64
	size   int
	pins   int // those who read it
}

// NewCache makes a cache of so many bytes, in pieces of a size, in a directory.
func NewCache(dir string, bytes, piece int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create cache of objects: %w", err)
	}
	f, err := os.CreateTemp(dir, "objects-*.cache")
	if err != nil {
		return nil, fmt.Errorf("create cache of objects: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("create cache of objects: %w", err), f.Close())
	}
	// Those of processes that ended before they came to the line above.
	if old, err := filepath.Glob(filepath.Join(dir, "objects-*.cache")); err == nil {
		for _, path := range old {
			_ = os.Remove(path)
		}
	}
	return &Cache{file: f, piece: piece, slots: make(map[key]*list.Element), used: list.New(), limit: bytes / piece}, nil
}

// Close gives the disk space back.
func (c *Cache) Close() error { return c.file.Close() }

// Bytes returns the size of what is cached.
func (c *Cache) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// has reports whether a piece is cached.
func (c *Cache) has(k key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slots[k] != nil
}

// read fills b from an offset in a piece on. ok is false when it is not cached.
func (c *Cache) read(k key, b []byte, offset int64) (ok bool) {
	c.mu.Lock()
	e := c.slots[k]
	if e == nil {
		c.mu.Unlock()
		return false
	}
	c.used.MoveToFront(e)
	s := e.Value.(*slot) //nolint:forcetypeassert // the list has nothing else
	s.pins++
	c.mu.Unlock()
	defer c.unpin(s)
	if offset+int64(len(b)) > int64(s.size) {
		return false
	}
	_, err := c.file.ReadAt(b, s.number*c.piece+offset)
	return err == nil
}

func (c *Cache) unpin(s *slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.pins--
}

// add caches a piece, unless there is no room that nobody reads or the disk fails.
func (c *Cache) add(k key, b []byte) error {
	number, ok := c.place(k)
	if !ok {
		return nil
	}
	if _, err := c.file.WriteAt(b, number*c.piece); err != nil {
		c.mu.Lock()
		c.free = append(c.free, number)
		c.mu.Unlock()
		return fmt.Errorf("write cache of objects: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots[k] != nil { // somebody else was faster
		c.free = append(c.free, number)
		return nil
	}
	c.bytes += int64(len(b))
	c.slots[k] = c.used.PushFront(&slot{key: k, number: number, size: len(b)})
	return nil
}

// place returns a slot that nobody uses.
func (c *Cache) place(k key) (number int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots[k] != nil {
		return 0, false
	}
	if n := len(c.free); n > 0 {
		number = c.free[n-1]
		c.free = c.free[:n-1]
		return number, true
	}
	if c.next < c.limit {
		c.next++
		return c.next - 1, true
	}
	for e := c.used.Back(); e != nil; e = e.Prev() {
		s := e.Value.(*slot) //nolint:forcetypeassert // the list has nothing else
		if s.pins == 0 {
			c.drop(e, s)
			return s.number, true
		}
	}
	return 0, false
}

func (c *Cache) drop(e *list.Element, s *slot) {
	c.used.Remove(e)
	delete(c.slots, s.key)
	c.bytes -= int64(s.size)
}

// Forget drops the pieces of an object.
func (c *Cache) Forget(object string, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := int64(0); n*c.piece < size; n++ {
		e := c.slots[key{object, n}]
		if e == nil {
			continue
		}
		if s := e.Value.(*slot); s.pins == 0 { //nolint:forcetypeassert // the list has nothing else
			c.drop(e, s)
			c.free = append(c.free, s.number)
		}
	}
}
