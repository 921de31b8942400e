// SPDX-License-Identifier: Apache-2.0

package symbol

// span is a range of addresses [start, end) that has a name.
type span struct {
	start, end uint64
	// prio decides where spans overlap: the higher one is seen.
	prio uint32
	// id is the caller's number for the name.
	id uint32
}

// noID stands for the space between spans.
const noID = ^uint32(0)

// flatten turns spans, sorted by start, into ranges that do not overlap. It
// calls emit with the first address of each range, ascending, and the span's id
// or [noID]; a range ends where the next one begins. The last one is noID.
func flatten(spans []span, emit func(start uint64, id uint32)) {
	var open spanHeap
	var pos uint64
	last := noID
	put := func(start uint64, id uint32) {
		if id != last {
			emit(start, id)
			last = id
		}
	}
	for i := 0; i < len(spans) || len(open) > 0; {
		if len(open) == 0 {
			if spans[i].start > pos {
				put(pos, noID)
			}
			pos = max(pos, spans[i].start)
		}
		for ; i < len(spans) && spans[i].start <= pos; i++ {
			if spans[i].end > pos {
				open.push(spans[i])
			}
		}
		for len(open) > 0 && open[0].end <= pos {
			open.pop()
		}
		if len(open) == 0 {
			continue
		}
		put(pos, open[0].id)
		next := open[0].end
		if i < len(spans) {
			next = min(next, spans[i].start)
		}
		pos = next
	}
	if last != noID {
		emit(pos, noID)
	}
}

// spanHeap is a heap of spans, the highest priority first.
type spanHeap []span

func (h *spanHeap) push(s span) {
	*h = append(*h, s)
	a := *h
	for i := len(a) - 1; i > 0; {
		parent := (i - 1) / 2
		if a[parent].prio >= a[i].prio {
			return
		}
		a[parent], a[i] = a[i], a[parent]
		i = parent
	}
}

func (h *spanHeap) pop() {
	a := *h
	a[0] = a[len(a)-1]
	a = a[:len(a)-1]
	*h = a
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(a) {
			return
		}
		if child+1 < len(a) && a[child+1].prio > a[child].prio {
			child++
		}
		if a[i].prio >= a[child].prio {
			return
		}
		a[i], a[child] = a[child], a[i]
		i = child
	}
}
