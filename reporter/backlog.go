// SPDX-License-Identifier: Apache-2.0

package reporter

import "slices"

// backlog keeps the batches that are sealed and not settled, in the order in
// which they were sealed, which is the order in which they are sent:
//
//	head  read back from disk into memory
//	disk  the rest of what is on disk, one batch at a time
//	tail  in memory only
//
// While the server takes what it is sent, there is only a tail. What is on disk
// came before it, be it from this run or an earlier one, but for batches of the tail
// that wait for themselves: those have a copy on disk, in their place among the others.
// Only the flusher calls it.
type backlog struct {
	head, tail batchList
	maxBytes   int
	disk       *disk // nil: none
}

func newBacklog(maxBytes int) *backlog {
	return &backlog{maxBytes: maxBytes, tail: batchList{isTail: true}}
}

// push adds a batch at the end.
func (l *backlog) push(b *batch) { l.tail.insert(b, l.tail.last) }

// first and after step through the batches in order, and through those on disk as
// they are needed and as far as the head has room. A batch may be removed or
// replaced before after is asked for the one behind it; the pieces are then passed over.
func (l *backlog) first() *batch {
	if l.head.first != nil {
		return l.head.first
	}
	return l.more()
}

func (l *backlog) after(b *batch) *batch {
	if b.next != nil || b.inTail {
		return b.next
	}
	return l.more()
}

// more reads the next batch from disk; after the last it is the first of the tail.
// A head full of batches that wait for themselves does not hold up the tail.
func (l *backlog) more() *batch {
	if l.disk != nil && l.head.bytes < l.maxBytes/2 {
		if b := l.disk.read(); b != nil {
			l.head.insert(b, l.head.last)
			return b
		}
	}
	return l.tail.first
}

// remove takes out a batch that is settled.
func (l *backlog) remove(b *batch) {
	l.listOf(b).remove(b)
	if b.order != 0 {
		l.disk.settle(b)
	}
}

// replace puts pieces in the place of a batch. Pieces of one on disk go there
// before it leaves; if the process dies in between, it is either it or they.
func (l *backlog) replace(b *batch, pieces []*batch) {
	list, at := l.listOf(b), b
	for i, piece := range pieces {
		if b.order != 0 {
			// Worth a try only: the pieces are in memory.
			_ = l.disk.keep(piece, b.order, i == len(pieces)-1)
		}
		list.insert(piece, at)
		at = piece
	}
	// What follows b is still what followed it, so that a walk passes over the pieces.
	next := at.next
	list.remove(b)
	if b.order != 0 {
		l.disk.settleReplaced(b)
	}
	b.next = next
}

func (l *backlog) listOf(b *batch) *batchList {
	if b.inTail {
		return &l.tail
	}
	return &l.head
}

// full reports that nothing more should be sealed for now.
func (l *backlog) full() bool { return l.head.bytes+l.tail.bytes >= l.maxBytes }

// crowded reports that the tail takes up so much that it belongs on disk.
func (l *backlog) crowded() bool { return l.tail.bytes >= l.maxBytes/4 || l.full() }

// usage returns the number of batches in memory and their bytes.
func (l *backlog) usage() (batches, bytes int) {
	return l.head.count + l.tail.count, l.head.bytes + l.tail.bytes
}

// empty reports that nothing waits, in memory or on disk.
func (l *backlog) empty() bool {
	batches, _ := l.usage()
	return batches == 0 && (l.disk == nil || l.disk.empty())
}

// spools reports that the disk takes batches, as far as is known; with final, that it may be tried.
func (l *backlog) spools(final bool) bool { return l.disk != nil && l.disk.usable(final) }

// works reports that the last writing to the disk went well.
func (l *backlog) works() bool { return l.disk != nil && l.disk.works() }

// persist moves the tail to disk and reports whether that worked. A batch on which
// the server failed waits in memory for its time, unless it is the last moment; one
// that is being sent waits for its answer. Both leave a copy on disk, so that what
// comes behind them and refers to them is not there without them.
func (l *backlog) persist(final bool) bool {
	if !l.spools(final) {
		return false
	}
	var moved []*batch
	var fault error
	for b := l.tail.first; b != nil; {
		next := b.next
		if b.sending || (b.faults > 0 && !final) {
			if b.order == 0 {
				fault = l.disk.keep(b, 0, false)
			}
		} else {
			var put bool
			if put, fault = l.disk.put(b); put {
				l.tail.remove(b)
				moved = append(moved, b)
			}
		}
		if fault != nil {
			break
		}
		b = next
	}
	if err := l.disk.sync(); err != nil {
		fault = err
		// What may not be on disk stays in memory.
		for _, b := range slices.Backward(moved) {
			if l.disk.withdraw(b) {
				l.tail.insert(b, nil)
			}
		}
	}
	l.disk.note(fault)
	return fault == nil
}

// rest gives back to the disk what was read from it, while the server is away: it takes
// up no memory there, and is the oldest that goes when the disk is full. What is known of
// a batch beyond its record keeps it here.
func (l *backlog) rest() {
	for b := l.head.first; b != nil; {
		next := b.next
		if b.order != 0 && b.faults == 0 && b.cuts == 0 && !b.unclear && l.disk.giveBack(b) {
			l.head.remove(b)
		}
		b = next
	}
}

// shelve puts on disk what it can, for a later run, and returns the rest.
func (l *backlog) shelve() (rest []*batch) {
	if l.disk != nil {
		for b := l.head.first; b != nil; {
			next := b.next
			if l.disk.giveBack(b) {
				l.head.remove(b)
			} else {
				l.head.remove(b)
				l.push(b)
			}
			b = next
		}
		l.persist(true)
		l.disk.close()
	}
	for _, list := range []*batchList{&l.head, &l.tail} {
		for b := list.first; b != nil; b = b.next {
			rest = append(rest, b)
		}
		*list = batchList{isTail: list.isTail}
	}
	return rest
}

// batchList is a list of batches that are linked through themselves.
type batchList struct {
	first, last  *batch
	count, bytes int
	isTail       bool
}

// insert puts a batch behind another, or first.
func (l *batchList) insert(b, behind *batch) {
	b.inTail = l.isTail
	b.prev = behind
	if behind == nil {
		b.next, l.first = l.first, b
	} else {
		b.next, behind.next = behind.next, b
	}
	if b.next == nil {
		l.last = b
	} else {
		b.next.prev = b
	}
	b.held = b.bytes()
	l.count++
	l.bytes += b.held
}

// remove takes a batch out. It keeps its link to the next.
func (l *batchList) remove(b *batch) {
	if b.prev == nil {
		l.first = b.next
	} else {
		b.prev.next = b.next
	}
	if b.next == nil {
		l.last = b.prev
	} else {
		b.next.prev = b.prev
	}
	l.count--
	l.bytes -= b.held
}
