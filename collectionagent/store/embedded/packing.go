// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/libpf"
)

// Stacks are stored one by one as they come. Packing sorts many of them, puts them into
// packs, and leaves of each where it is: one write of all, so that whoever reads a
// state of the database finds a stack in either form. What a pack holds does not change;
// when most of its stacks are gone, the others are stored one by one again.

// Bounds of what is sorted at once.
const (
	maxSortStacks  = 1 << 15
	maxSortFrames  = 1 << 16 // different ones
	maxSortNumbers = 1 << 21 // frames of all stacks
	maxSortTexts   = 4 << 20
	// maxStackFrames is how many frames a stack in a pack has at most.
	maxStackFrames = 1 << 10
)

// packShare says when packing is worth reading all stacks: that share of them is new.
const packShare = 16

// frameKey is what frames are told apart by.
type frameKey struct {
	kind           libpf.FrameType
	file           libpf.FileID
	address        libpf.AddressOrLineno
	function, path string
	line           libpf.SourceLineno
}

// packSorter collects stacks of a project and sorts them.
type packSorter struct {
	numbers map[frameKey]uint32
	frames  []libpf.Frame
	stacks  []packed
	paths   []uint32 // of all stacks
	texts   int
}

// full reports whether the stacks are as many as are sorted at once.
func (p *packSorter) full() bool {
	return len(p.stacks) >= maxSortStacks || len(p.frames) >= maxSortFrames || len(p.paths) >= maxSortNumbers || p.texts >= maxSortTexts
}

// add adds a stack, leaf first, unless it is too large for a pack.
func (p *packSorter) add(h libpf.TraceHash, frames []libpf.Frame) {
	if len(frames) > maxStackFrames {
		return
	}
	if p.numbers == nil {
		p.numbers = make(map[frameKey]uint32)
	}
	start := len(p.paths)
	for i := range slices.Backward(frames) {
		f := &frames[i]
		key := frameKey{f.Type, f.FileID, f.AddressOrLineno, f.FunctionName, f.SourceFile, f.SourceLine}
		n, ok := p.numbers[key]
		if !ok {
			n = uint32(len(p.frames)) //nolint:gosec // bounded
			p.numbers[key] = n
			p.frames = append(p.frames, *f)
			p.texts += len(f.FunctionName) + len(f.SourceFile)
		}
		p.paths = append(p.paths, n)
	}
	p.stacks = append(p.stacks, packed{h, p.paths[start:len(p.paths):len(p.paths)]})
}

// sort sorts the frames, and the stacks from their roots.
func (p *packSorter) sort() {
	order := make([]uint32, len(p.frames))
	for i := range order {
		order[i] = uint32(i) //nolint:gosec // bounded
	}
	slices.SortFunc(order, func(a, b uint32) int { return compareFrames(&p.frames[a], &p.frames[b]) })
	rank := make([]uint32, len(order))
	frames := make([]libpf.Frame, len(order))
	for r, n := range order {
		rank[n] = uint32(r) //nolint:gosec // bounded
		frames[r] = p.frames[n]
	}
	p.frames = frames
	for i := range p.stacks {
		path := p.stacks[i].path
		for j := range path {
			path[j] = rank[path[j]]
		}
	}
	slices.SortFunc(p.stacks, func(a, b packed) int { return cmp.Or(slices.Compare(a.path, b.path), a.hash.Compare(b.hash.Hash128)) })
}

func (p *packSorter) reset() {
	clear(p.numbers)
	p.frames, p.stacks, p.paths, p.texts = p.frames[:0], p.stacks[:0], p.paths[:0], 0
}

// packStacksWhenDue packs stacks when enough have come since they were looked at.
func (s *Store) packStacksWhenDue(ctx context.Context) error {
	if s.guard.check() != nil {
		return nil
	}
	all := s.counts.Load().stacks
	looked := s.lookedAt.Load()
	if all < looked { // some were collected
		s.lookedAt.Store(all)
	}
	if all-looked < max(s.cfg.packDue, all/packShare) {
		return nil
	}
	return s.packStacks(ctx, false)
}

// packStacks packs all stacks that are stored one by one, but those of projects with few.
// It may wait until the files are gone that hold what has been replaced.
func (s *Store) packStacks(ctx context.Context, wait bool) error {
	before, err := s.metaFiles()
	if err != nil {
		return err
	}
	done, err := s.packAll(ctx)
	if err == nil && done {
		// What has been replaced is only hidden until Pebble writes its files again.
		_, err = s.await(ctx, always, func() (bool, error) {
			if err := s.db.Compact(ctx, []byte{keyPack}, []byte{keyStack + 1}, false); err != nil || !wait {
				return false, err
			}
			return true, s.renewLogs()
		})
		if err == nil && wait && s.awaitRemoval(ctx, before) != nil {
			err = ctx.Err() // somebody still reads them: then they go later
		}
	}
	if err != nil {
		return fmt.Errorf("pack stacks: %w", err)
	}
	return nil
}

// packAll is packStacks without what Pebble has to do after it. done says that it changed something.
func (s *Store) packAll(ctx context.Context) (done bool, err error) {
	s.garbage.running.Lock() // the keys must stay
	defer s.garbage.running.Unlock()
	var sorter packSorter
	var project string
	var room []libpf.Frame
	seen := 0
	// What cannot be packed now is not tried again before there is more.
	s.lookedAt.Store(s.counts.Load().stacks)
	flush := func() error {
		defer sorter.reset()
		if len(sorter.stacks) < s.cfg.packLeast {
			return nil
		}
		n, err := s.writePacks(project, &sorter)
		done = done || n > 0
		return err
	}
	err = scan(s.db, []byte{keyStack}, func(key, value []byte) error {
		if seen++; seen%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		d := decoder{b: key[1:]}
		name := d.bytes(d.uvarint())
		h := libpf.TraceHash{Hash128: d.hash()}
		if d.err != nil {
			return d.err
		}
		if string(name) != project || sorter.full() {
			if err := flush(); err != nil {
				return err
			}
			project = string(name)
		}
		if _, ok, err := decodeRef(value); err != nil || ok {
			return err
		}
		frames, err := decodeFramesIn(room, value)
		if err != nil {
			return err
		}
		room = frames
		sorter.add(h, frames)
		return nil
	})
	if err == nil {
		err = flush()
	}
	return done, err
}

// writePacks writes the stacks of a project as packs, and returns how many they are.
func (s *Store) writePacks(project string, sorter *packSorter) (n int, err error) {
	if err := s.guard.check(); err != nil { // nobody must wait for the disk below
		return 0, err
	}
	number, err := s.lastPack(project)
	if err != nil {
		return 0, err
	}
	sorter.sort()
	b := s.db.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	w := packWriter{frames: sorter.frames}
	var value []byte
	flush := func() error {
		if len(w.stacks) == 0 {
			return nil
		}
		number++
		value = w.encode(value[:0])
		if err := b.Set(packKey(project, number), value, nil); err != nil {
			return err
		}
		for i := range w.stacks {
			value = appendRef(value[:0], stackRef{number, i})
			if err := b.Set(stackKey(project, w.stacks[i].hash), value, nil); err != nil {
				return err
			}
		}
		n += len(w.stacks)
		w.reset()
		return nil
	}
	for _, st := range sorter.stacks {
		if w.add(st) {
			continue
		}
		if err := flush(); err != nil {
			return 0, err
		}
		w.add(st) // else it stays as it is
	}
	if err := flush(); err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, nil
	}
	// Not synced: after a crash they may be as they were.
	return n, b.Commit(pebble.NoSync)
}

// lastPack returns the highest number of the packs of a project.
func (s *Store) lastPack(project string) (number uint64, err error) {
	prefix := projectKey(keyPack, project)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return 0, fmt.Errorf("list packs: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.Last() {
		return 0, it.Error()
	}
	if number = packNumber(it.Key()); number == 0 {
		return 0, fmt.Errorf("%w: key of a pack", errCodec)
	}
	return number, nil
}

// packNumber returns the number of a pack, 0 when the key is none of a pack.
func packNumber(key []byte) uint64 {
	d := decoder{b: key[1:]}
	_ = d.string()
	if b := d.bytes(8); d.err == nil && len(d.b) == 0 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// packUse says which stacks of a pack are referred to.
type packUse struct {
	live [maxPackStacks / 64]uint64
	n    int
}

func (u *packUse) set(position int) {
	u.live[position/64] |= 1 << (position % 64)
	u.n++
}

func (u *packUse) has(position int) bool { return u.live[position/64]&(1<<(position%64)) != 0 }

// maxLoose is how many packs a round of collection takes apart at once.
const maxLoose = 64

// errNoPack is that of a stack without its frames.
var errNoPack = fmt.Errorf("%w: a stack is in a pack that is not there", errCodec)

// markFrames marks the symbols and executables of all stacks, and takes packs apart of
// which most stacks are gone. Nothing else changes packs meanwhile.
func (w *sweep) markFrames(ctx context.Context) error {
	uses := make(map[string]*packUse)
	mark := func(f *libpf.Frame) {
		w.used.add(frameDefinition(f.ID()))
		w.used.add(fileDefinition(f.FileID))
	}
	var room []libpf.Frame
	err := scan(w.s.db, []byte{keyStack}, func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, ok, err := decodeRef(value)
		if err != nil {
			return err
		}
		if ok {
			pack := refKey(key, r)
			if uses[string(pack)] == nil {
				uses[string(pack)] = &packUse{}
			}
			uses[string(pack)].set(r.position)
			return nil
		}
		frames, err := decodeFramesIn(room, value)
		if err != nil {
			return err
		}
		for i := range frames {
			mark(&frames[i])
		}
		room = frames
		return nil
	})
	if err != nil {
		return err
	}
	loose := make(map[string]*pack)
	err = scan(w.s.db, []byte{keyPack}, func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		// The pack stays when the scan has gone on.
		p, err := decodePack(slices.Clone(value))
		if err != nil {
			return err
		}
		use := uses[string(key)]
		delete(uses, string(key))
		if use == nil {
			use = &packUse{}
		}
		if 2*use.n < len(p.shared) && len(loose) < maxLoose {
			loose[string(key)] = p
		}
		marked := make([]bool, len(p.frames))
		return p.stacks(nil, func(at int, path []uint32) error {
			if !use.has(at) {
				return nil
			}
			for _, n := range path {
				if !marked[n] {
					marked[n] = true
					mark(&p.frames[n])
				}
			}
			return nil
		})
	})
	if err == nil && len(uses) > 0 {
		err = errNoPack
	}
	if err != nil || len(loose) == 0 {
		return err
	}
	return w.s.unpack(ctx, loose)
}

// refKey returns the key of the pack of a stack.
func refKey(stackKey []byte, r stackRef) []byte {
	key := append([]byte{keyPack}, stackKey[1:len(stackKey)-16]...)
	return binary.BigEndian.AppendUint64(key, r.pack)
}

// unpack stores the stacks of packs one by one, and removes the packs.
func (s *Store) unpack(ctx context.Context, packs map[string]*pack) (err error) {
	if err := s.guard.check(); err != nil { // nobody must wait for the disk below
		return err
	}
	b := s.db.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	stacks := make(map[string][]stackAt)
	err = scan(s.db, []byte{keyStack}, func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, ok, err := decodeRef(value)
		if err != nil || !ok {
			return err
		}
		if pack := refKey(key, r); packs[string(pack)] != nil {
			h, err := libpf.TraceHashFromBytes(key[len(key)-16:])
			if err != nil {
				return err
			}
			stacks[string(pack)] = append(stacks[string(pack)], stackAt{r.position, h})
		}
		return nil
	})
	if err != nil {
		return err
	}
	var value []byte
	for name, p := range packs {
		s.lookedAt.Add(-int64(len(stacks[name])))
		prefix := append([]byte{keyStack}, name[1:len(name)-8]...)
		var failed error
		err := eachPacked(p, stacks[name], func(h libpf.TraceHash, frames []libpf.Frame) {
			value = appendFrames(value[:0], frames)
			failed = errors.Join(failed, b.Set(h.AppendBytes(slices.Clip(prefix)), value, nil))
		})
		if err = errors.Join(err, failed, b.Delete([]byte(name), nil)); err != nil {
			return err
		}
	}
	return b.Commit(pebble.NoSync)
}

// stackAt is a stack at a place in a pack.
type stackAt struct {
	position int
	hash     libpf.TraceHash
}

// eachPacked calls f with the frames of stacks of a pack. It sorts them.
func eachPacked(p *pack, list []stackAt, f func(h libpf.TraceHash, frames []libpf.Frame)) error {
	slices.SortFunc(list, func(a, b stackAt) int { return cmp.Compare(a.position, b.position) })
	positions := make([]int, len(list))
	for i := range list {
		positions[i] = list[i].position
	}
	next := 0
	return p.stacks(positions, func(at int, path []uint32) error {
		for ; next < len(list) && list[next].position == at; next++ {
			f(list[next].hash, p.framesOf(path))
		}
		return nil
	})
}
