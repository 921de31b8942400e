// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

func encodeInt(v int64) []byte { return binary.AppendVarint(nil, v) }

func decodeHost(id string, b []byte) (*store.Host, error) {
	var r hostRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read host: %w", err)
	}
	return &store.Host{ID: id, Name: r.Name, LastSeen: r.LastSeen, Metadata: r.Metadata}, nil
}

// lookUp gets and decodes the values of keys.
func lookUp[K comparable, V any](
	ctx context.Context, s *Store, ids []K, key func(K) []byte, decode func(K, []byte) (V, error),
) (map[K]V, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.users.RUnlock()
	return lookUpIn(ctx, s.db, ids, key, decode)
}

// lookUpIn is lookUp in a state of the database.
func lookUpIn[K comparable, V any](
	ctx context.Context, db pebble.Reader, ids []K, key func(K) []byte, decode func(K, []byte) (V, error),
) (map[K]V, error) {
	found := make(map[K]V, len(ids))
	for i, id := range ids {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		v, closer, err := db.Get(key(id))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up definition: %w", err)
		}
		decoded, err := decode(id, v)
		if err = errors.Join(err, closer.Close()); err != nil {
			return nil, fmt.Errorf("look up definition: %w", err)
		}
		found[id] = decoded
	}
	return found, ctx.Err()
}

// Stacks implements [store.Store].
func (s *Store) Stacks(ctx context.Context, project string, hashes []libpf.TraceHash) (map[libpf.TraceHash][]libpf.Frame, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.users.RUnlock()
	// One state of the database, because packs come and go.
	db := s.db.NewSnapshot()
	defer func() { _ = db.Close() }() // was only read
	packs := make(map[uint64][]stackAt)
	found, err := lookUpIn(ctx, db, hashes,
		func(h libpf.TraceHash) []byte { return stackKey(project, h) },
		func(h libpf.TraceHash, b []byte) ([]libpf.Frame, error) {
			r, ok, err := decodeRef(b)
			if err != nil {
				return nil, err
			}
			if ok {
				packs[r.pack] = append(packs[r.pack], stackAt{r.position, h})
				return nil, nil
			}
			return decodeFrames(b)
		})
	if err != nil {
		return nil, err
	}
	for number, list := range packs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, closer, err := db.Get(packKey(project, number))
		if errors.Is(err, pebble.ErrNotFound) {
			err = errNoPack
		}
		if err != nil {
			return nil, fmt.Errorf("look up pack of stacks: %w", err)
		}
		p, err := decodePack(v)
		if err == nil {
			err = eachPacked(p, list, func(h libpf.TraceHash, frames []libpf.Frame) { found[h] = frames })
		}
		if err = errors.Join(err, closer.Close()); err != nil {
			return nil, fmt.Errorf("look up pack of stacks: %w", err)
		}
	}
	return found, nil
}

// Symbols implements [store.Store].
func (s *Store) Symbols(ctx context.Context, project string, frames []libpf.FrameID) (map[libpf.FrameID][]libpf.SourceLine, error) {
	return lookUp(ctx, s, frames,
		func(id libpf.FrameID) []byte { return symbolKey(project, id) },
		func(_ libpf.FrameID, b []byte) ([]libpf.SourceLine, error) {
			_, lines, err := decodeSymbol(b)
			return lines, err
		})
}

// Executables implements [store.Store].
func (s *Store) Executables(ctx context.Context, project string, files []libpf.FileID) (map[libpf.FileID]libpf.Executable, error) {
	return lookUp(ctx, s, files,
		func(id libpf.FileID) []byte { return executableKey(project, id) },
		decodeExecutable)
}

func decodeExecutable(id libpf.FileID, b []byte) (libpf.Executable, error) {
	d := decoder{b: b}
	e := libpf.Executable{FileID: id, FileName: d.string(), BuildID: d.string()}
	if len(d.b) > 0 {
		e.Runtime = d.string()
	}
	return e, d.err
}

// Hosts implements [store.Store].
func (s *Store) Hosts(ctx context.Context, project string) ([]store.Host, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.users.RUnlock()
	prefix := projectKey(keyHost, project)
	var hosts []store.Host
	err := scan(s.db, prefix, func(key, value []byte) error {
		h, err := decodeHost(string(key[len(prefix):]), value)
		if err != nil {
			return err
		}
		hosts = append(hosts, *h)
		return ctx.Err()
	})
	return hosts, err
}
