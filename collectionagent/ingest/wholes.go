// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"hash/maphash"
	"sync"

	"github.com/strobe-profiler/strobe/libpf"
)

// wholes remembers the hashes of stacks by their whole content: the frames and all
// names of them. Requests of OTLP repeat both each time, and who knows the whole
// need not look at the parts. It is bounded and forgets like [idSet], whose owners
// its keys belong to. It is safe for concurrent use.
type wholes struct {
	seeds   [2]maphash.Seed
	mask    uint64
	locks   [64]sync.RWMutex // of the buckets, by their lowest bits
	buckets []wholeBucket
}

// wholeBucket is as large as two lines of the cache of a processor.
type wholeBucket [4]whole

type whole struct {
	content id128 // zero: none
	hash    libpf.TraceHash
}

// newWholes returns room for about so many stacks.
func newWholes(entries int) *wholes {
	n := uint64(64)
	for n*uint64(len(wholeBucket{})) < uint64(max(entries, 1)) {
		n *= 2
	}
	return &wholes{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, mask: n - 1, buckets: make([]wholeBucket, n)}
}

// owner returns what turns the contents of a project into keys.
func (w *wholes) owner(project string) idOwner {
	return idOwner{maphash.String(w.seeds[0], project), maphash.String(w.seeds[1], project)}
}

func (w *wholes) place(content id128) (*wholeBucket, *sync.RWMutex) {
	at := mix(content) & w.mask
	return &w.buckets[at], &w.locks[at%uint64(len(w.locks))]
}

// get returns the hash of a stack.
func (w *wholes) get(content id128) (libpf.TraceHash, bool) {
	b, lock := w.place(content)
	lock.RLock()
	defer lock.RUnlock()
	for i := range b {
		if b[i].content == content {
			return b[i].hash, true
		}
	}
	return libpf.TraceHash{}, false
}

// add puts a stack first in its bucket. The last one leaves when there is no room.
func (w *wholes) add(content id128, hash libpf.TraceHash) {
	b, lock := w.place(content)
	lock.Lock()
	defer lock.Unlock()
	for i := range b {
		if b[i].content == content || b[i].content == (id128{}) || i == len(b)-1 {
			copy(b[1:i+1], b[:i])
			b[0] = whole{content, hash}
			return
		}
	}
}

// clear forgets everything.
func (w *wholes) clear() {
	for i := range w.buckets {
		lock := &w.locks[i%len(w.locks)]
		lock.Lock()
		w.buckets[i] = wholeBucket{}
		lock.Unlock()
	}
}
