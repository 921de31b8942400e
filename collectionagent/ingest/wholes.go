// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"hash/maphash"
	"sync"

	"github.com/strobe-profiler/strobe/libpf"
)

// wholes remembers the hashes of stacks by their whole content: the frames and all
// names of them. Requests of OTLP repeat both each time, and who knows the whole
// need not look at the parts. It is bounded: a new stack takes the place of another
// when there is no room. Its keys are made like those of [idSet], so that no project
// can find the stacks of another. It is safe for concurrent use.
type wholes struct {
	seeds  [2]maphash.Seed
	most   int // stacks in a shard
	shards [64]wholeShard
}

type wholeShard struct {
	mu     sync.RWMutex
	hashes map[id128]libpf.TraceHash
}

// newWholes returns a memory of about so many stacks at most.
func newWholes(entries int) *wholes {
	w := &wholes{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	w.most = max(entries/len(w.shards), 1)
	w.clear()
	return w
}

// owner returns what turns the contents of a project into keys.
func (w *wholes) owner(project string) idOwner {
	return idOwner{maphash.String(w.seeds[0], project), maphash.String(w.seeds[1], project)}
}

func (w *wholes) shard(content id128) *wholeShard {
	return &w.shards[(content.hi^content.lo>>17)%uint64(len(w.shards))]
}

// get returns the hash of a stack.
func (w *wholes) get(content id128) (hash libpf.TraceHash, ok bool) {
	s := w.shard(content)
	s.mu.RLock()
	hash, ok = s.hashes[content]
	s.mu.RUnlock()
	return hash, ok
}

// add remembers a stack.
func (w *wholes) add(content id128, hash libpf.TraceHash) {
	s := w.shard(content)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hashes) >= w.most {
		for any := range s.hashes { // the order of a map is as good as any
			delete(s.hashes, any)
			break
		}
	}
	s.hashes[content] = hash
}

// clear forgets everything.
func (w *wholes) clear() {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		s.hashes = make(map[id128]libpf.TraceHash)
		s.mu.Unlock()
	}
}
