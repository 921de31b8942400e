// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
	"github.com/strobe-profiler/strobe/libpf"
)

// envDeleting is set while the child of the crash test is to delete, too.
const envDeleting = "EMBEDDED_CRASH_DELETING"

// shopBatches is how many different batches the deleted project gets, again and again.
const shopBatches = 8

// shopBatch returns a batch of the project that is deleted.
func shopBatch(seq uint64) *store.Batch {
	b := testBatch(seq, 50)
	b.ID.Project, b.Series[0].Project = "shop", "shop"
	b.Series = append(b.Series, b.Series[0])
	b.Series[1].Service = "db"
	for i := range b.Samples {
		b.Samples[i].Series = uint32(i % 2)
	}
	return b
}

// wipe sends batches, again and again, and deletes some or all of them, as fast as it can.
func wipe(s *Store) {
	ctx := context.Background()
	for seq := uint64(0); ; seq++ {
		_, err := s.Append(ctx, shopBatch(seq%shopBatches))
		if err == nil {
			d := defined(seq % 50)
			d.Project = "shop"
			_, err = s.Put(ctx, d)
		}
		if err == nil && rand.IntN(3) == 0 {
			d := &store.Deletion{Project: "shop"}
			if rand.IntN(2) == 0 {
				m, matchErr := store.NewMatcher(store.LabelService, store.MatchEqual, "db")
				if matchErr != nil {
					panic(matchErr) // it is no expression
				}
				d.Matchers = []*store.Matcher{m}
			}
			_, err = s.Delete(ctx, d)
		}
		if err == nil && rand.IntN(3) == 0 {
			err = s.Maintain(ctx)
		}
		if err != nil {
			fmt.Println("deleting:", err) // fails the test
			return
		}
	}
}

// TestCrashDeleting is TestCrash while a project is filled and deleted all the time: none
// of its batches is ever there twice, and it can always be deleted.
func TestCrashDeleting(t *testing.T) {
	t.Setenv(envDeleting, "1")
	storetest.Crash(t, 10, func(t *testing.T, dir string) store.Store {
		s := openTest(t, stillConfig(dir))
		checkFiles(t, s)
		count := func() (n [shopBatches]int) {
			q := &store.Query{Project: "shop", To: math.MaxInt64}
			if err := s.Samples(t.Context(), q, func(sample *store.Sample, _ *store.Series) bool { n[sample.Stack.Hi()]++; return true }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for seq := range uint64(shopBatches) {
			before := count()[seq]
			duplicate := mustAppend(t, s, shopBatch(seq))
			switch after := count()[seq]; {
			case after > 50, duplicate && after != before, !duplicate && (before != 0 || after != 50):
				t.Errorf("batch %d has %d samples after %d, duplicate %v", seq, after, before, duplicate)
			}
		}
		if rand.IntN(2) == 0 {
			if _, err := s.Delete(t.Context(), &store.Deletion{Project: "shop"}); err != nil {
				t.Fatal(err)
			}
			if n := count(); n != [shopBatches]int{} {
				t.Errorf("samples after the deletion: %v", n)
			}
			if found, err := s.Stacks(t.Context(), "shop", []libpf.TraceHash{libpf.NewTraceHash(1, 0)}); err != nil || len(found) > 0 {
				t.Errorf("stacks after the deletion: %v (error %v)", found, err)
			}
			checkFiles(t, s)
		}
		return s
	})
}
