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
	found := make(map[K]V, len(ids))
	for i, id := range ids {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		v, closer, err := s.db.Get(key(id))
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
	return lookUp(ctx, s, hashes,
		func(h libpf.TraceHash) []byte { return stackKey(project, h) },
		func(_ libpf.TraceHash, b []byte) ([]libpf.Frame, error) { return decodeFrames(b) })
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
