// SPDX-License-Identifier: Apache-2.0

package query

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// Costs of what is remembered in bytes, by and large: a stack is its hash, its place in
// the table of its project, and its frames.
const (
	stackCost      = 64
	stackFrameCost = 4
	frameCost      = 512
)

// leastAge is how long stacks are remembered at least: when those of the questions of
// that time are too many, some are read again each time, but those that are remembered
// need not be copied each time.
const leastAge = 30 * time.Second

// arenaFrames is how many frames of stacks have one array.
const arenaFrames = 1 << 14

// remembered is what a resolver knows. Stacks refer to frames by number, so frames
// stay until stacks or frames are too many. Then another one begins, which takes over what
// is asked for again of the one before. A question sticks to the one it began with.
type remembered struct {
	before atomic.Pointer[remembered]
	budget int64 // of this and the one before
	began  time.Time

	mu                   sync.Mutex
	projects             map[string]*stackTable
	stackCost, frameCost int64
	arena                []uint32 // what is left of the last array of frames of stacks
	frames               map[frameKey]uint32
	table                []*frameEntry // by number; only grows
	// carried are the numbers here of frames of the one before, 1 more than they are.
	carried []uint32
}

// Stacks that have no frames to show are only a frame that says why. They have
// the first numbers.
var (
	unknownStack = []uint32{0}
	emptyStack   = []uint32{1}
)

// constantFrames is how many frames have the same number everywhere.
const constantFrames = 2

func newRemembered(budget int64, now time.Time) *remembered {
	m := &remembered{budget: budget, began: now, projects: make(map[string]*stackTable), frames: make(map[frameKey]uint32)}
	for _, text := range [constantFrames]string{"unknown stack", "empty stack"} {
		m.add(&libpf.Frame{Type: libpf.AbortFrame, FunctionName: text})
	}
	return m
}

// share is what stacks may cost, and what frames may cost when a question begins.
func (m *remembered) share() int64 { return m.budget / 4 }

// full reports whether another one is to begin.
func (m *remembered) full(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.frameCost > m.share() || (m.stackCost > m.share()*15/16 && now.Sub(m.began) >= leastAge)
}

// used returns about how many bytes are remembered.
func (m *remembered) used() int64 {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stackCost + min(m.share(), m.frameCost)
}

// find looks stacks up, the first of which has the number first, and appends the numbers
// of those that are not known to missing.
func (m *remembered) find(project string, hashes []libpf.TraceHash, stacks [][]uint32, first int, missing []int) []int {
	b := m.before.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	from := len(missing)
	known := m.projects[project]
	for i, h := range hashes {
		if stacks[i] = known.get(h); stacks[i] == nil {
			missing = append(missing, first+i)
		}
	}
	if b == nil || len(missing) == from {
		return missing
	}
	b.mu.Lock() // always behind that of the one that came later
	defer b.mu.Unlock()
	old, left := b.projects[project], missing[:from]
	for _, i := range missing[from:] {
		if s := old.get(hashes[i-first]); s != nil {
			stacks[i-first] = m.remember(project, hashes[i-first], m.carry(project, b, s))
		} else {
			left = append(left, i)
		}
	}
	return left
}

// carry returns a stack of the one before with the numbers that frames have here.
// The locks of both are held.
func (m *remembered) carry(project string, b *remembered, stack []uint32) []uint32 {
	if len(stack) == 1 && stack[0] < constantFrames {
		return stack
	}
	if more := len(b.table) - len(m.carried); more > 0 {
		m.carried = append(m.carried, make([]uint32, more)...)
	}
	out := m.room(len(stack))
	for i, number := range stack {
		n := m.carried[number]
		if n == 0 {
			e := b.table[number]
			n = m.number(project, &e.frame, e.names.Load()) + 1
			m.carried[number] = n
		}
		out[i] = n - 1
	}
	return out
}

// room returns an array for the frames of a stack. The lock is held.
func (m *remembered) room(n int) []uint32 {
	if n > len(m.arena) {
		if n > arenaFrames/8 {
			return make([]uint32, n)
		}
		m.arena = make([]uint32, arenaFrames)
	}
	out := m.arena[:n:n]
	m.arena = m.arena[n:]
	return out
}

// remember returns a stack, which is kept if there is room. The lock is held.
func (m *remembered) remember(project string, hash libpf.TraceHash, stack []uint32) []uint32 {
	cost := stackCost + stackFrameCost*int64(len(stack))
	if m.stackCost+cost > m.share() {
		return stack
	}
	t := m.projects[project]
	if t == nil {
		t = &stackTable{}
		m.projects[project] = t
	}
	if t.put(hash, stack) {
		m.stackCost += cost
	}
	return stack
}

// add gives a frame a number. The lock is held, or nobody else knows m.
func (m *remembered) add(f *libpf.Frame) (number uint32) {
	e := &frameEntry{frame: *f}
	e.frame.Lines = nil
	m.table = append(m.table, e)
	return uint32(len(m.table) - 1) //nolint:gosec // their cost is bounded far below
}

// number returns the number of a frame, with what names are known of it. The lock is held.
func (m *remembered) number(project string, f *libpf.Frame, names *frameNames) uint32 {
	key := frameKey{project, f.Type, f.ID(), f.FunctionName, f.SourceFile, f.SourceLine}
	n, ok := m.frames[key]
	if !ok {
		n = m.add(f)
		m.frames[key] = n
		m.table[n].names.Store(names)
		m.frameCost += frameCost + int64(len(f.FunctionName)+len(f.SourceFile))
	}
	return n
}

// stackTable finds stacks by their hashes, with about one access of memory for each.
// Whoever sends samples may choose hashes, but not where in the table they go. A nil
// table is empty.
type stackTable struct {
	slots  []uint32 // 1 + index of the stack, 0: free
	hi, lo uint64   // odd, secret
	shift  uint     // of the place in a hash
	hashes []libpf.TraceHash
	stacks [][]uint32
}

// slot returns the slot of a stack or the free one that it belongs in.
func (t *stackTable) slot(h libpf.TraceHash) *uint32 {
	for at := (h.Hi()*t.hi + h.Lo()*t.lo) >> t.shift; ; at = (at + 1) & uint64(len(t.slots)-1) { //nolint:gosec // put makes some first
		s := &t.slots[at]
		if *s == 0 || t.hashes[*s-1] == h {
			return s
		}
	}
}

// grow makes the table larger.
func (t *stackTable) grow() {
	if t.slots == nil {
		t.hi, t.lo, t.shift = rand.Uint64()|1, rand.Uint64()|1, 64-5 //nolint:gosec // the same for the life of the table
	}
	t.shift--
	t.slots = make([]uint32, 1<<(64-t.shift))
	for i, h := range t.hashes {
		*t.slot(h) = uint32(i + 1) //nolint:gosec // bounded by memory
	}
}

// get returns a stack, nil when it is not known.
func (t *stackTable) get(h libpf.TraceHash) []uint32 {
	if t == nil {
		return nil
	}
	if n := *t.slot(h); n > 0 {
		return t.stacks[n-1]
	}
	return nil
}

// put adds a stack unless it is known.
func (t *stackTable) put(h libpf.TraceHash, stack []uint32) bool {
	if 3*len(t.slots) <= 4*len(t.hashes) {
		t.grow()
	}
	s := t.slot(h)
	if *s > 0 {
		return false
	}
	t.hashes, t.stacks = append(t.hashes, h), append(t.stacks, stack)
	*s = uint32(len(t.hashes)) //nolint:gosec // bounded by memory
	return true
}
