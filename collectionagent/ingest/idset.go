// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// idSet is a bounded set of IDs of all projects. It forgets: a new ID takes the
// place of an old one when there is no room near its own. It is safe for concurrent use, and
// look-ups wait for nobody, so that a processor has the memory of several of them under way.
//
// An ID is kept as 16 bytes that a secret of the process and the project have
// gone into, so that a look-up reads one line of memory and no project can find
// the IDs of another. The set grows with what is in it, since a small one stays in
// the caches of the processor.
type idSet struct {
	seeds [2]maphash.Seed
	most  int // buckets

	buckets atomic.Pointer[[]idBucket] // a power of two of them

	mu sync.Mutex // of who changes anything
	n  int        // IDs
}

// leastBuckets is how many buckets a set has at first.
const leastBuckets = 64

// idBucket is as large as a line of the cache of a processor.
type idBucket [4]idSlot

// id128 is an ID in the set. Its first half is not zero.
type id128 struct{ hi, lo uint64 }

// idSlot holds an ID; while it changes, and when it holds none, its first half is zero.
type idSlot struct{ hi, lo atomic.Uint64 }

// is reports whether the slot holds the ID.
func (s *idSlot) is(id id128) bool {
	return s.hi.Load() == id.hi && s.lo.Load() == id.lo && s.hi.Load() == id.hi
}

// set changes the ID. The caller holds the lock.
func (s *idSlot) set(id id128) {
	s.hi.Store(0)
	s.lo.Store(id.lo)
	s.hi.Store(id.hi)
}

// newIDSet returns a set of about so many IDs at most.
func newIDSet(entries int) *idSet {
	s := &idSet{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, most: leastBuckets}
	for s.most*len(idBucket{}) < entries {
		s.most *= 2
	}
	s.clear()
	return s
}

// idOwner turns IDs of a project into those of a set.
type idOwner struct{ hi, lo uint64 }

// owner returns what turns the IDs of a project into those of the set.
func (s *idSet) owner(project string) idOwner {
	return idOwner{maphash.String(s.seeds[0], project), maphash.String(s.seeds[1], project)}
}

// of returns the ID of the set for one of the owner's.
func (o idOwner) of(hi, lo uint64) id128 {
	id := id128{hi ^ o.hi, lo ^ o.lo}
	if id.hi == 0 {
		id.hi = 1 // zero is none
	}
	return id
}

// place returns the bucket of an ID. IDs are hashes, but one project could choose those of
// its own.
func place(buckets []idBucket, id id128) *idBucket {
	h := (id.hi ^ id.lo>>17) * 0x9e3779b97f4a7c15
	return &buckets[(h^h>>32)&uint64(len(buckets)-1)] //nolint:gosec // not empty
}

// has reports whether an ID is in the set.
func (s *idSet) has(id id128) bool {
	b := place(*s.buckets.Load(), id)
	return b[0].is(id) || b[1].is(id) || b[2].is(id) || b[3].is(id)
}

// add puts an ID first in its bucket. The last one leaves when there is no room.
func (s *idSet) add(id id128) {
	s.mu.Lock()
	defer s.mu.Unlock()
	buckets := *s.buckets.Load()
	b := place(buckets, id)
	for len(buckets) < s.most && s.tight(len(buckets), b, id) {
		buckets = s.grow(buckets)
		b = place(buckets, id)
	}
	s.n += b.add(id)
}

// tight reports whether so many buckets are to become more before an ID comes to one of
// them. What leaves a full bucket is looked for again and again, in the store, so a bucket
// may be full only by bad luck, or because somebody chose the IDs.
func (s *idSet) tight(buckets int, b *idBucket, id id128) bool {
	room := buckets * len(b)
	full := b[len(b)-1].hi.Load() != 0 && !s.has(id)
	return 4*s.n >= room || (full && 16*s.n >= room)
}

// add is [idSet.add]. It returns how many IDs there are more.
func (b *idBucket) add(id id128) (more int) {
	at := 0
	for at < len(b)-1 && !b[at].is(id) && b[at].hi.Load() != 0 {
		at++
	}
	if b[at].hi.Load() == 0 {
		more = 1
	}
	for ; at > 0; at-- { // who looks for one of these now may miss it, and asks the store
		b[at].set(id128{b[at-1].hi.Load(), b[at-1].lo.Load()})
	}
	if !b[0].is(id) {
		b[0].set(id)
	}
	return more
}

// grow gives the IDs more buckets.
func (s *idSet) grow(buckets []idBucket) []idBucket {
	larger := make([]idBucket, 2*len(buckets))
	s.n = 0
	for i := range buckets {
		for j := len(buckets[i]) - 1; j >= 0; j-- { // the first stay first
			if id := (id128{buckets[i][j].hi.Load(), buckets[i][j].lo.Load()}); id.hi != 0 {
				s.n += place(larger, id).add(id)
			}
		}
	}
	s.buckets.Store(&larger)
	return larger
}

// clear forgets everything.
func (s *idSet) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	buckets := make([]idBucket, leastBuckets)
	s.buckets.Store(&buckets)
	s.n = 0
}
