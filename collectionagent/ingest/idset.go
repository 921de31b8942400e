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
// the IDs of another.
type idSet struct {
	seeds   [2]maphash.Seed
	mask    uint64
	locks   [64]sync.Mutex // of who changes the buckets, by their lowest bits
	buckets []idBucket
}

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

// newIDSet returns a set of about so many IDs, at least one.
func newIDSet(entries int) *idSet {
	n := uint64(64)
	for n*uint64(len(idBucket{})) < uint64(max(entries, 1)) {
		n *= 2
	}
	return &idSet{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, mask: n - 1, buckets: make([]idBucket, n)}
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

// place returns the bucket of an ID and its lock. IDs are hashes, but one project
// could choose those of its own.
func (s *idSet) place(id id128) (*idBucket, *sync.Mutex) {
	h := (id.hi ^ id.lo>>17) * 0x9e3779b97f4a7c15
	at := (h ^ h>>32) & s.mask
	return &s.buckets[at], &s.locks[at%uint64(len(s.locks))]
}

// has reports whether an ID is in the set.
func (s *idSet) has(id id128) bool {
	b, _ := s.place(id)
	return b[0].is(id) || b[1].is(id) || b[2].is(id) || b[3].is(id)
}

// add puts an ID first in its bucket. The last one leaves when there is no room.
func (s *idSet) add(id id128) {
	b, lock := s.place(id)
	lock.Lock()
	defer lock.Unlock()
	at := 0
	for at < len(b)-1 && !b[at].is(id) && b[at].hi.Load() != 0 {
		at++
	}
	for ; at > 0; at-- { // who looks for one of these now may miss it, and asks the store
		b[at].set(id128{b[at-1].hi.Load(), b[at-1].lo.Load()})
	}
	if !b[0].is(id) {
		b[0].set(id)
	}
}

// clear forgets everything.
func (s *idSet) clear() {
	for i := range s.buckets {
		lock := &s.locks[i%len(s.locks)]
		lock.Lock()
		for j := range s.buckets[i] {
			s.buckets[i][j].set(id128{})
		}
		lock.Unlock()
	}
}
