// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// firstRemoteLevel is the lowest level of blocks that go to object storage: those
// below will be merged within hours.
const firstRemoteLevel = 1

func newSeeker(b []byte) io.ReadSeeker { return bytes.NewReader(b) }

// offloadLoop moves blocks to object storage in the background.
func (s *Store) offloadLoop() {
	tick := time.NewTicker(s.cfg.objectEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.remote.wake:
		case <-s.working.Done():
			return
		}
		if err := s.offload(s.working); err != nil && s.working.Err() == nil {
			select { // a wake-up must not make an outage a busy loop
			case <-time.After(s.cfg.objectEvery):
			case <-s.working.Done():
				return
			}
		}
	}
}

// objectTrouble notes why blocks wait, nil when they do not.
func (s *Store) objectTrouble(err error) {
	r := s.remote
	text := ""
	if err != nil {
		text = err.Error()
	}
	r.mu.Lock()
	before := r.trouble
	r.trouble = text
	r.mu.Unlock()
	switch {
	case before == "" && text != "":
		s.logger.Error("blocks stay on the disk because object storage cannot be used; it is tried again", "storage", s.cfg.Objects.String(), "err", err)
	case before != "" && text == "":
		s.logger.Info("object storage can be used again", "storage", s.cfg.Objects.String())
	}
}

// offload does all that is due: it looks for leftovers once, removes objects of old
// blocks and uploads new ones.
func (s *Store) offload(ctx context.Context) (err error) {
	r := s.remote
	if r == nil {
		return nil
	}
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		if ctx.Err() == nil {
			s.objectTrouble(err)
		}
	}()
	if err := r.own(ctx); err != nil {
		return err
	}
	if err := s.tidyObjects(ctx); err != nil {
		return err
	}
	if err := r.removeGone(ctx, false); err != nil {
		return err
	}
	for _, b := range s.localBlocks() {
		if err := r.own(ctx); err != nil {
			return err
		}
		if err := s.upload(ctx, b); err != nil {
			return err
		}
	}
	return r.removeGone(ctx, false)
}

// localBlocks lists the blocks that are to be uploaded, oldest first.
func (s *Store) localBlocks() []*block {
	_, blocks, _ := s.readView()
	s.remote.mu.Lock()
	defer s.remote.mu.Unlock()
	return slices.DeleteFunc(blocks, func(b *block) bool {
		return b.info.Remote || b.info.Level < firstRemoteLevel || s.remote.damaged[b.info.Number]
	})
}

// tidyObjects removes objects that no entry lists: a crash came between an upload
// and its entry, or before an object was removed. It does so after a start, and leaves
// young ones until they are not, in case a clock is wrong or something is overlooked.
func (s *Store) tidyObjects(ctx context.Context) error {
	r := s.remote
	if r.tidied || time.Now().Before(r.tidyAt) { // only changed with r.busy
		return nil
	}
	listed := make(map[string]bool)
	_, blocks, _ := s.readView()
	for _, b := range blocks {
		for _, name := range b.info.files() {
			listed[r.object(name)] = true
		}
	}
	r.mu.Lock()
	for _, o := range r.gone { // they go when nobody reads them any more
		listed[o.name] = true
	}
	r.mu.Unlock()
	var orphans []string
	young := false
	err := r.bucket.List(ctx, r.object(""), func(o objects.Object) error {
		switch {
		case listed[o.Name] || !strings.HasSuffix(o.Name, ".parquet"):
		case time.Since(o.Modified) < s.cfg.objectGrace:
			young = true
		default:
			orphans = append(orphans, o.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range orphans {
		s.logger.Info("removing object of an unfinished block", "object", name)
		if err := r.bucket.Delete(ctx, name); err != nil {
			return err
		}
		r.orphan.Inc()
	}
	r.tidied, r.tidyAt = !young, time.Now().Add(s.cfg.objectGrace)
	return nil
}

// awaitObjectsGone removes the objects of old blocks now, those too that a query or a
// backup still wants to read: what somebody deletes has to go. The caller does not hold
// s.upkeep, which an upload may wait for.
func (s *Store) awaitObjectsGone(ctx context.Context) error {
	r := s.remote
	if r == nil {
		return nil
	}
	r.mu.Lock()
	uploading, uploaded := r.uploading, r.uploaded
	r.mu.Unlock()
	if uploading != nil && uploading.isDead() { // its files are still on their way
		select {
		case <-uploaded:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return r.removeGone(ctx, true)
}

// removeGone removes the objects of old blocks, unless somebody still reads them. What
// cannot be removed is tried again.
func (r *remote) removeGone(ctx context.Context, held bool) error {
	select {
	case r.removing <- struct{}{}:
		defer func() { <-r.removing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := r.own(ctx); err != nil {
		return err
	}
	for {
		r.mu.Lock()
		next := slices.IndexFunc(r.gone, func(o goneObject) bool { return held || (r.holds == 0 && !o.part.isRead()) })
		if next < 0 {
			r.mu.Unlock()
			return nil
		}
		name := r.gone[next].name
		r.mu.Unlock()
		if err := r.bucket.Delete(ctx, name); err != nil {
			return err
		}
		r.removed.Inc()
		r.mu.Lock() // others only add
		r.gone = slices.Delete(r.gone, next, next+1)
		r.mu.Unlock()
	}
}

// upload puts the files of a block into object storage, makes its entry say so, and
// removes the files from the disk. Each step may be the last one before a crash.
func (s *Store) upload(ctx context.Context, b *block) error {
	r := s.remote
	defer r.beginUpload(b)()
	var put []*block // what may be in the storage and is not listed
	defer func() {
		for _, part := range put {
			r.removeObject(part)
		}
	}()
	info := *b.info
	info.Sums = slices.Clone(b.info.Sums)
	for _, part := range b.parts() {
		f := fileInfo{name: part.info.File, kind: part.kind, bytes: part.info.Bytes, sum: part.info.Sum}
		put = append(put, part)
		sum, err := s.uploadFile(ctx, f)
		switch {
		case errors.Is(err, errSum):
			r.mu.Lock()
			r.damaged[info.Number] = true
			r.mu.Unlock()
			s.logger.Error("block is damaged and stays on the disk; put its file back from a backup or delete its time range", "file", f.name, "err", err)
			return nil
		case errors.Is(err, os.ErrNotExist) && b.isDead():
			return nil // it was merged or expired meanwhile
		case err != nil:
			return fmt.Errorf("upload block: %w", err)
		}
		if f.kind == "" {
			info.Sum = sum
		}
		for i := range info.Sums {
			if info.Sums[i].Kind == f.kind {
				info.Sums[i].Sum = sum
			}
		}
	}
	info.Remote = true
	err := s.listRemote(ctx, b, &info)
	if errors.Is(err, errBlockGone) {
		return nil
	}
	if err == nil || errors.Is(err, errUncertain) {
		put = nil
	}
	if err != nil {
		return err
	}
	for _, name := range info.files() {
		if err := s.cfg.files.remove(filepath.Join(s.blocksDir(), name)); err != nil {
			s.metrics.leftovers.Inc()
			s.logger.Warn("file of an uploaded block stays until the next start", "file", name, "err", err)
		}
	}
	s.logger.Debug("put block into object storage", "files", info.files(), "bytes", info.bytes())
	return nil
}

// beginUpload notes which block is being uploaded. end must be called.
func (r *remote) beginUpload(b *block) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	uploaded := make(chan struct{})
	r.uploading, r.uploaded = b, uploaded
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.uploading = nil
		close(uploaded)
	}
}

// listRemote swaps the entry of a block.
func (s *Store) listRemote(ctx context.Context, b *block, info *blockInfo) error {
	unlock, err := s.lockUpkeep(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s.listMu.Lock()
	defer s.listMu.Unlock()
	return s.swapLocked(ctx, []*block{b}, []*newEntry{{info: info, block: s.newBlock(info)}}, nil, nil)
}

// uploadFile puts a file into object storage, if it is what it should be. It returns
// its checksums.
func (s *Store) uploadFile(ctx context.Context, f fileInfo) (_ *fileSum, err error) {
	file, err := os.Open(filepath.Join(s.blocksDir(), f.name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // was only read
	var sum summer
	if _, err := io.Copy(&sum, file); err != nil {
		return nil, err
	}
	if sum.size != f.bytes {
		return nil, fmt.Errorf("%w: %d bytes instead of %d", errSum, sum.size, f.bytes)
	}
	if err := sum.compare(f.sum); err != nil {
		return nil, err
	}
	if err := s.remote.keepObject(ctx, s.remote.object(f.name)); err != nil {
		return nil, err
	}
	return sum.sum(), s.remote.bucket.Put(ctx, s.remote.object(f.name), file, f.bytes)
}

// keepObject takes back that an object is to be removed: the block it was uploaded for
// had been replaced, by one with some of the same files.
func (r *remote) keepObject(ctx context.Context, name string) error {
	select {
	case r.removing <- struct{}{}:
		defer func() { <-r.removing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = slices.DeleteFunc(r.gone, func(gone goneObject) bool { return gone.name == name })
	return nil
}

// isRead reports whether somebody may be reading the block.
func (b *block) isRead() bool {
	if !b.mu.TryLock() {
		return true // it is just being opened
	}
	defer b.mu.Unlock()
	return b.refs > 0
}

// isDead reports whether the block was taken off the list.
func (b *block) isDead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead
}
