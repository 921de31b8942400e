// SPDX-License-Identifier: Apache-2.0

package query

import (
	"slices"
	"sync"
	"sync/atomic"
)

// functionOrder remembers the order of functions, which is that of their names: to
// compare thousands of long names takes longer than anything else about a question. It
// is safe for concurrent use.
type functionOrder struct {
	// most is up to how many functions the order is remembered.
	most  int
	known atomic.Pointer[orderedFunctions]
	mu    sync.Mutex // held while functions are added
}

// orderedFunctions are functions in their order. They are immutable.
type orderedFunctions struct {
	functions []function
	places    map[function]uint32
}

// orderedCost is about what a function takes in the order, as its names are in memory
// with its frames.
const orderedCost = 64

// places returns the place of each function in their order. The places are not dense.
func (o *functionOrder) places(t *functionTable, w *watch) []uint32 {
	places := make([]uint32, len(t.functions))
	known := o.known.Load()
	if known.look(t.functions, places) {
		return places
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	known = o.known.Load()
	if known.look(t.functions, places) {
		return places
	}
	more := known.with(t, w, o.most)
	if !w.look() {
		if len(more.functions) <= o.most {
			o.known.Store(more)
		}
		more.look(t.functions, places)
	}
	return places
}

// look looks the places of functions up. It returns false when one is not known.
func (k *orderedFunctions) look(functions []function, places []uint32) bool {
	if k == nil {
		return false
	}
	for i, f := range functions {
		place, ok := k.places[f]
		if !ok {
			return false
		}
		places[i] = place
	}
	return true
}

// with returns the order with more functions, without those before where these are too many.
func (k *orderedFunctions) with(t *functionTable, w *watch, most int) *orderedFunctions {
	var before []function
	if k != nil && len(k.functions)+len(t.functions) <= most {
		before = k.functions
	}
	type named struct {
		function function
		value    *Function
	}
	var added []named
	for i, f := range t.functions {
		if t.numbers[f] != uint32(i) { //nolint:gosec // fewer than frames in memory
			continue // another line of one that has been
		}
		if len(before) > 0 {
			if _, ok := k.places[f]; ok {
				continue
			}
		}
		added = append(added, named{f, t.value(uint32(i))}) //nolint:gosec // fewer than frames in memory
	}
	slices.SortFunc(added, func(a, b named) int {
		if w.ended() { // any order will do, the sooner the better
			return 0
		}
		return a.value.compare(b.value)
	})
	out := &orderedFunctions{functions: make([]function, 0, len(before)+len(added))}
	for _, n := range added {
		// What is known and comes before it.
		at, _ := slices.BinarySearchFunc(before, n.value, func(f function, v *Function) int {
			x := f.Value()
			return x.compare(v)
		})
		out.functions = append(append(out.functions, before[:at]...), n.function)
		before = before[at:]
	}
	out.functions = append(out.functions, before...)
	out.places = make(map[function]uint32, len(out.functions))
	for i, f := range out.functions {
		out.places[f] = uint32(i) //nolint:gosec // fewer than frames in memory
	}
	return out
}
