// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"hash/maphash"
	"sync"
)

// idSet is a bounded set of IDs of all projects. It forgets: a new ID takes the
// place of an old one when there is no room near its own. It is safe for concurrent use.
//
// An ID is kept as 16 bytes that a secret of the process and the project have
// gone into, so that a look-up reads one line of memory and no project can find
// the IDs of another.
type idSet struct {
	seeds   [2]maphash.Seed
	mask    uint64
	locks   [64]sync.RWMutex // of the buckets, by their lowest bits
	buckets []idBucket
}

// idBucket is as large as a line of the cache of a processor.
type idBucket [4]id128

// id128 is an ID in the set; zero is none.
type id128 struct{ hi, lo uint64 }

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
	if id == (id128{}) {
		id.lo = 1 // zero is none
	}
	return id
}

// place returns the bucket of an ID and its lock. IDs are hashes, but one project
// could choose those of its own.
func (s *idSet) place(id id128) (*idBucket, *sync.RWMutex) {
	h := (id.hi ^ id.lo>>17) * 0x9e3779b97f4a7c15
	at := (h ^ h>>32) & s.mask
	return &s.buckets[at], &s.locks[at%uint64(len(s.locks))]
}

// has reports whether an ID is in the set.
func (s *idSet) has(id id128) bool {
	b, lock := s.place(id)
	lock.RLock()
	found := b[0] == id || b[1] == id || b[2] == id || b[3] == id
	lock.RUnlock()
	return found
}

// add puts an ID first in its bucket. The last one leaves when there is no room.
func (s *idSet) add(id id128) {
	b, lock := s.place(id)
	lock.Lock()
	defer lock.Unlock()
	for i := range b {
		if b[i] == id || b[i] == (id128{}) || i == len(b)-1 {
			copy(b[1:i+1], b[:i])
			b[0] = id
			return
		}
	}
}

// clear forgets everything.
func (s *idSet) clear() {
	for i := range s.buckets {
		lock := &s.locks[i%len(s.locks)]
		lock.Lock()
		s.buckets[i] = idBucket{}
		lock.Unlock()
	}
}
