// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"math/rand/v2"
	"sync"
	"testing"
)

func TestIDSet(t *testing.T) {
	t.Parallel()
	s := newIDSet(1000)
	red, blue := s.owner("red"), s.owner("blue")
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	type key struct{ hi, lo uint64 }
	var keys []key
	for range 100 {
		keys = append(keys, key{r.Uint64(), r.Uint64()})
	}
	keys = append(keys, key{}, key(red), key{red.hi, red.lo ^ 1})
	for i, k := range keys[:101] {
		if s.has(red.of(k.hi, k.lo)) {
			t.Fatalf("key %d is there before it was added", i)
		}
		s.add(red.of(k.hi, k.lo))
		s.add(red.of(k.hi, k.lo))
		if !s.has(red.of(k.hi, k.lo)) || s.has(blue.of(k.hi, k.lo)) {
			t.Fatalf("key %d: red %v, blue %v", i, s.has(red.of(k.hi, k.lo)), s.has(blue.of(k.hi, k.lo)))
		}
	}
	if k := keys[101]; s.has(red.of(k.hi, k.lo)) {
		t.Error("an ID that reads as none is there")
	}
	// The set is bounded, keeps what came last, and most of what there is room for. How much is a
	// matter of luck with the secrets of a set: here all is the same each time.
	red, blue = idOwner{hi: 0x243f6a8885a308d3, lo: 0x13198a2e03707344}, idOwner{hi: 0xa4093822299f31d0, lo: 0x082efa98ec4e6c89}
	for range 100_000 {
		id := red.of(r.Uint64(), r.Uint64())
		s.add(id)
		if !s.has(id) {
			t.Fatal("what was just added is not there")
		}
	}
	kept := 0
	fresh := newIDSet(1000)
	for i := range uint64(500) {
		fresh.add(red.of(i, i*i))
	}
	for i := range uint64(500) {
		if fresh.has(red.of(i, i*i)) {
			kept++
		}
	}
	if kept < 450 {
		t.Errorf("%d of 500 IDs are left in a set for 1000", kept)
	}
	fresh.clear()
	if fresh.n != 0 || fresh.has(red.of(1, 1)) {
		t.Errorf("%d IDs are left", fresh.n)
	}
	// It grows with what is in it, up to its bound, and loses next to nothing on the way.
	const n = 1 << 12
	large := newIDSet(16 * n)
	room := func() int { return len(*large.buckets.Load()) * len(idBucket{}) }
	var ids []id128
	for i := range n {
		if room() > max(4*leastBuckets, 32*(i+1)) {
			t.Fatalf("room for %d when %d are there", room(), i)
		}
		ids = append(ids, red.of(r.Uint64(), r.Uint64()))
		large.add(ids[i])
		large.add(ids[i])
	}
	kept = 0
	for _, id := range ids {
		if large.has(id) {
			kept++
		}
	}
	if kept < n-4 || kept != large.n {
		t.Errorf("%d of %d IDs are left, %d are counted", kept, n, large.n)
	}
	for range 16 * n {
		large.add(blue.of(r.Uint64(), r.Uint64()))
	}
	if room() != 16*n || large.n > 16*n {
		t.Errorf("room for %d, %d are there", room(), large.n)
	}
	var workers sync.WaitGroup
	for w := range uint64(4) {
		workers.Go(func() {
			for i := range uint64(1000) {
				s.add(blue.of(w, i))
				s.has(red.of(i, w))
			}
		})
	}
	workers.Wait()
}
