// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// stuck is a bucket whose reads never end by themselves.
type stuck struct {
	objects.Bucket
	reading chan struct{} // gets a value with each read
	passing bool
}

func (s *stuck) ReadRange(ctx context.Context, name string, b []byte, offset int64) error {
	if s.passing {
		return s.Bucket.ReadRange(ctx, name, b, offset)
	}
	s.reading <- struct{}{}
	<-ctx.Done()
	return errors.Join(objects.ErrAway, ctx.Err())
}

// TestUse ends the contexts of those who wait for object storage: when nobody waits
// any more the read ends, and not before.
func TestUse(t *testing.T) {
	bucket := &stuck{Bucket: objects.NewDir(t.TempDir()), reading: make(chan struct{})}
	if err := bucket.Put(t.Context(), "o", bytes.NewReader(make([]byte, 1000)), 1000); err != nil {
		t.Fatal(err)
	}
	cache, err := objects.NewCache(t.TempDir(), 1<<20, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close() //nolint:errcheck // nothing of it is needed
	f := (&objects.Reader{Context: t.Context(), Bucket: bucket, Cache: cache, PieceBytes: 100}).Open("o", 1000, nil)
	ended := make(chan error, 1)
	read := func() { _, err := f.ReadAt(make([]byte, 10), 0); ended <- err }

	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	firstDone, secondDone := f.Use(first), f.Use(second)
	go read()
	<-bucket.reading
	cancelFirst()
	select {
	case err := <-ended:
		t.Fatalf("the read ended with one of two contexts: %v", err)
	default:
	}
	cancelSecond()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("after both contexts ended: %v", err)
	}
	// Who has not noticed yet gets nothing either.
	go func() { <-bucket.reading }()
	if read(); !errors.Is(<-ended, context.Canceled) {
		t.Error("a read for nobody did not end")
	}
	firstDone()
	secondDone()

	// The next one is not bothered by it.
	bucket.passing = true
	third, cancelThird := context.WithCancel(t.Context())
	thirdDone := f.Use(third)
	if read(); <-ended != nil {
		t.Errorf("the next read: %v", err)
	}
	thirdDone()
	cancelThird()
	fourthDone := f.Use(t.Context())
	defer fourthDone()
	if read(); <-ended != nil {
		t.Errorf("a read after a context that ended unused: %v", err)
	}
}
