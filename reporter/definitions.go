// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"sync"

	"github.com/elastic/go-freelru"
)

// definition is one thing that samples refer to. content is a hash of the value
// that tells a changed value from a repeated one.
type definition[K comparable, V any] struct {
	key     K
	value   V
	content uint64
}

// waiting is a definition on its way to the server.
type waiting struct {
	content uint64
	// sealed: it is in a batch, or about to be, and no longer in the queue.
	sealed bool
}

// definitions is one kind of definitions: the bounded queue of those that were
// reported, and what the server is known to have.
//
// A key is unknown, waiting, spooled, or acknowledged. One that falls out of the
// queue or of the spool is unknown again; since only the others are skipped, it travels
// with the next sample that needs it, from the sample itself or from the book.
type definitions[K comparable, V any] struct {
	name     string
	hash     freelru.HashKeyCallback[K]
	size     func(V) int
	entries  uint32 // of acked and of book
	maxItems int
	maxBytes int
	wake     func()
	// identity: the key says all about the value, so content is no reason to send
	// it again; it is only a note that goes with the key.
	identity bool

	mu          sync.Mutex
	queue       []definition[K, V] // oldest first
	bytes       int
	waiting     map[K]waiting
	acked       *freelru.LRU[K, uint64]
	spooled     *freelru.LRU[K, uint64]           // in batches on disk, made on first use
	book        *freelru.LRU[K, definition[K, V]] // what was reported by itself, made on first use
	overwritten overwriteCount
	resent      uint64
	lacked      uint64
	signalled   bool
}

func newDefinitions[K comparable, V any](name string, maxItems, maxBytes int, entries uint32,
	hash func(K) uint32, size func(V) int, wake func(),
) (*definitions[K, V], error) {
	acked, err := freelru.New[K, uint64](entries, hash)
	if err != nil {
		return nil, err
	}
	return &definitions[K, V]{
		name: name, hash: hash, size: size, entries: entries, maxItems: maxItems, maxBytes: maxBytes,
		wake: wake, waiting: map[K]waiting{}, acked: acked,
	}, nil
}

// report queues what a caller reported by itself and keeps it in the book, from
// which samples that carry only the key are completed. merge, if not nil, may
// complete the value from the one in the book; it returns the value's content.
func (d *definitions[K, V]) report(key K, value V, content func(V) uint64, merge func(old, value V) V) {
	d.mu.Lock()
	def := d.note(key, value, content, merge)
	wake := !d.known(key, def.content) && d.enqueue(def)
	d.mu.Unlock()
	if wake {
		d.wake()
	}
}

// known reports whether the content is acknowledged or on its way.
func (d *definitions[K, V]) known(key K, content uint64) bool {
	if w, ok := d.waiting[key]; ok {
		return d.identity || w.content == content
	}
	return d.holds(d.spooled, key, content) || d.holds(d.acked, key, content)
}

func (d *definitions[K, V]) holds(in *freelru.LRU[K, uint64], key K, content uint64) bool {
	if in == nil {
		return false
	}
	have, ok := in.Get(key)
	return ok && (d.identity || have == content)
}

// enqueue appends, dropping the oldest over the limits, and reports whether the
// flusher should wake.
func (d *definitions[K, V]) enqueue(def definition[K, V]) bool {
	d.queue = append(d.queue, def)
	d.bytes += d.size(def.value)
	d.waiting[def.key] = waiting{content: def.content}
	for n := 0; len(d.queue) > d.maxItems || (d.bytes > d.maxBytes && len(d.queue) > 1); n++ {
		old := d.queue[0]
		d.queue[0] = definition[K, V]{}
		d.queue = d.queue[1:]
		d.bytes -= d.size(old.value)
		if w := d.waiting[old.key]; !w.sealed && (d.identity || w.content == old.content) {
			delete(d.waiting, old.key)
		}
		d.overwritten.add(1)
	}
	wake := !d.signalled && (len(d.queue) >= (d.maxItems+1)/2 || d.bytes >= d.maxBytes/2)
	d.signalled = d.signalled || wake
	return wake
}

// lookup finds what was reported for a key by itself.
func (d *definitions[K, V]) lookup(key K) (definition[K, V], bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.book == nil {
		return definition[K, V]{}, false
	}
	return d.book.Get(key)
}

// state tells what content the server has or will have before anything that is sealed from now on.
func (d *definitions[K, V]) state(key K) (content uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w, ok := d.waiting[key]; ok && w.sealed {
		return w.content, true
	}
	if d.spooled != nil {
		if content, ok := d.spooled.Get(key); ok {
			return content, true
		}
	}
	return d.acked.Get(key)
}

// claim reports whether the definition must be sealed before what refers to it,
// and if so takes it as sealed.
func (d *definitions[K, V]) claim(def definition[K, V]) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w, ok := d.waiting[def.key]; ok {
		if w.sealed && (d.identity || w.content == def.content) {
			return false
		}
	} else if d.holds(d.spooled, def.key, def.content) || d.holds(d.acked, def.key, def.content) {
		return false
	}
	d.waiting[def.key] = waiting{content: def.content, sealed: true}
	return true
}

// amend changes the note of a key that is on its way or acknowledged.
func (d *definitions[K, V]) amend(key K, content uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w, ok := d.waiting[key]; ok {
		w.content = content
		d.waiting[key] = w
	} else if d.spooled != nil && d.spooled.Contains(key) {
		d.spooled.Add(key, content)
	} else if _, ok := d.acked.Get(key); ok {
		d.acked.Add(key, content)
	}
}

// keep is report for a source that sends every definition with what refers to it:
// only the book is written.
func (d *definitions[K, V]) keep(key K, value V, content func(V) uint64, merge func(old, value V) V) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(key, value, content, merge)
}

func (d *definitions[K, V]) note(key K, value V, content func(V) uint64, merge func(old, value V) V) definition[K, V] {
	if merge != nil && d.book != nil {
		if old, ok := d.book.Get(key); ok {
			value = merge(old.value, value)
		}
	}
	def := definition[K, V]{key: key, value: value, content: content(value)}
	d.writeDown(def)
	return def
}

// remember puts a definition that was found by the way into the book.
func (d *definitions[K, V]) remember(def definition[K, V]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writeDown(def)
}

func (d *definitions[K, V]) writeDown(def definition[K, V]) {
	if d.book == nil {
		// The size was accepted for acked, so it is here.
		d.book, _ = freelru.New[K, definition[K, V]](d.entries, d.hash)
	}
	d.book.Add(def.key, def)
}

// lease takes at most n definitions out of the queue for a batch.
func (d *definitions[K, V]) lease(n int) []definition[K, V] {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.signalled = false
	var taken []definition[K, V]
	for len(d.queue) > 0 && len(taken) < n {
		def := d.queue[0]
		d.queue[0] = definition[K, V]{}
		d.queue = d.queue[1:]
		d.bytes -= d.size(def.value)
		// A sample may have claimed it meanwhile, or a newer value follows in the queue.
		if w := d.waiting[def.key]; w.sealed || (!d.identity && w.content != def.content) {
			continue
		}
		d.waiting[def.key] = waiting{content: def.content, sealed: true}
		taken = append(taken, def)
	}
	if len(d.queue) == 0 {
		d.queue = nil
	}
	return taken
}

// acknowledge records that the server has the definitions.
func (d *definitions[K, V]) acknowledge(defs []definition[K, V]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range defs {
		content := defs[i].content
		if w, ok := d.waiting[defs[i].key]; ok && d.identity {
			content = w.content // as amended
		}
		d.settle(&defs[i])
		d.acked.Add(defs[i].key, content)
	}
}

// setAside records that the definitions can not be stored. They count as known,
// so that they are not tried again until the server begins a new epoch.
func (d *definitions[K, V]) setAside(defs []definition[K, V]) { d.acknowledge(defs) }

func (d *definitions[K, V]) settle(def *definition[K, V]) {
	if w, ok := d.waiting[def.key]; ok && (d.identity || w.content == def.content) {
		delete(d.waiting, def.key)
	}
}

// resend queues what the server said it does not have.
func (d *definitions[K, V]) resend(def definition[K, V]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acked.Remove(def.key)
	if d.spooled != nil {
		d.spooled.Remove(def.key) // what is on disk may be damaged, for all we know
	}
	if _, ok := d.waiting[def.key]; ok {
		return
	}
	d.resent++
	d.enqueue(def) // the flusher is who calls
}

// lack records that the server asked for a definition that is not in memory any more.
func (d *definitions[K, V]) lack(key K) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acked.Remove(key)
	d.lacked++
}

// requeue queues definitions of a batch again under a new identity.
func (d *definitions[K, V]) requeue(defs []definition[K, V]) {
	for i := range defs {
		d.mu.Lock()
		d.settle(&defs[i])
		d.mu.Unlock()
		d.resend(defs[i])
	}
}

// toDisk records that the definitions of a batch wait on disk. Only the newest are
// remembered; one that is not travels twice.
func (d *definitions[K, V]) toDisk(defs []definition[K, V]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spooled == nil {
		d.spooled, _ = freelru.New[K, uint64](d.entries, d.hash) // as for the book
	}
	for i := range defs {
		content := defs[i].content
		if w, ok := d.waiting[defs[i].key]; ok && d.identity {
			content = w.content // as amended
		}
		d.settle(&defs[i])
		d.spooled.Add(defs[i].key, content)
	}
}

// fromDisk is the reverse: the batch is about to be sent.
func (d *definitions[K, V]) fromDisk(defs []definition[K, V]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range defs {
		def := &defs[i]
		if d.spooled != nil {
			if content, ok := d.spooled.Get(def.key); ok && (d.identity || content == def.content) {
				def.content = content
				d.spooled.Remove(def.key)
			}
		}
		if _, ok := d.waiting[def.key]; !ok {
			d.waiting[def.key] = waiting{content: def.content, sealed: true}
		}
	}
}

// evicted records that the definitions of a batch are not on disk any more.
func (d *definitions[K, V]) evicted(defs []definition[K, V]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range defs {
		if d.holds(d.spooled, defs[i].key, defs[i].content) {
			d.spooled.Remove(defs[i].key)
		}
	}
}

// forgetDisk makes everything on disk unknown.
func (d *definitions[K, V]) forgetDisk() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spooled != nil {
		d.spooled.Purge()
	}
}

// pass records that a batch is stored of which it is not known what the server's
// memory kept: the definitions travel again when a sample needs them.
func (d *definitions[K, V]) pass(defs []definition[K, V]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range defs {
		d.settle(&defs[i])
	}
}

// forget begins a new epoch: the server has nothing.
func (d *definitions[K, V]) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acked.Purge()
}

func (d *definitions[K, V]) pressing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.queue) >= (d.maxItems+1)/2 || d.bytes >= d.maxBytes/2
}

func (d *definitions[K, V]) status() QueueStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	return QueueStatus{
		Name: d.name, Items: len(d.queue), MaxItems: d.maxItems, Bytes: d.bytes, MaxBytes: d.maxBytes,
		Overwritten: d.overwritten.total, Resent: d.resent, Lacked: d.lacked,
	}
}

func (d *definitions[K, V]) takeOverwritten() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.overwritten.take()
}
