// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// stuckBucket stops answering reads when it is told to.
type stuckBucket struct {
	objects.Bucket
	stuck   atomic.Bool
	reading chan struct{} // gets a value with each read that is stuck
}

func (b *stuckBucket) ReadRange(ctx context.Context, name string, buf []byte, offset int64) error {
	if !b.stuck.Load() {
		return b.Bucket.ReadRange(ctx, name, buf, offset)
	}
	b.reading <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// TestCancelRemote cancels queries that wait for object storage in the middle of a
// block: they end at once, and the block can be read by the next one.
func TestCancelRemote(t *testing.T) {
	bucket := &stuckBucket{Bucket: objects.NewDir(t.TempDir()), reading: make(chan struct{}, 100)}
	cfg := remoteConfig(t.TempDir(), bucket)
	cfg.MaxOpenBlocks = 100 // blocks stay open, so that only their pages are missing
	s := openTest(t, cfg)
	for seq := range uint64(3) {
		mustAppend(t, s, mixedBatch(seq+1, "default", 20_000))
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	everything := everythingOf("default")
	everything.ByStack, everything.GroupBy = true, []string{store.LabelComm}
	count := func(ctx context.Context, samples bool) (n int64, err error) {
		if samples {
			err = s.Samples(ctx, everything, func(r *store.Sample, _ *store.Series) bool { n += r.Count; return true })
		} else {
			_, err = s.Select(ctx, everything, func(r *store.Row) bool { n += r.Count; return true })
		}
		return n, err
	}
	for name, samples := range map[string]bool{"select": false, "samples": true} {
		t.Run(name, func(t *testing.T) {
			want, err := count(t.Context(), samples)
			if err != nil || want != 60_000 {
				t.Fatalf("%d samples, %v", want, err)
			}
			bucket.stuck.Store(true)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { _, err := count(ctx, samples); ended <- err }()
			<-bucket.reading
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			bucket.stuck.Store(false)
			if n, err := count(t.Context(), samples); err != nil || n != want {
				t.Errorf("%d samples after a cancelled query, %v", n, err)
			}
		})
	}
}
