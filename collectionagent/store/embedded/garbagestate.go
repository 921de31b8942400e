// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// What a round of collection found unused is kept in a file, so that a server that is
// restarted every day collects, too. What was touched before the restart is not: what
// goes too early is asked for again, see [garbage]. The file is:
//
//	magic  16 bytes, garbageMagic
//	last   8 bytes little endian, when the round began: ns since the epoch
//	words  8 bytes little endian each, the filter
//	crc    4 bytes little endian, CRC-32C of all before
const (
	garbageMagic  = "STROBEUNUSED1\r\n\x00" // 16 bytes
	garbageHeader = len(garbageMagic) + 8
)

func (s *Store) garbagePath() string { return filepath.Join(s.cfg.Dir, "unused") }

// loadGarbage makes the collection go on where the last process was. Without the file, or
// with one that does not read, it begins anew.
func (s *Store) loadGarbage() {
	last, unused, err := readGarbage(s.garbagePath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		s.logger.Warn("the collection of unused definitions begins anew", "err", err)
		return
	case last.After(s.now()):
		return // a clock was wrong, and nobody knows when the round was
	}
	g := &s.garbage
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.unused, g.touched = last, unused, newFilter(s.counts.Load().filtered())
}

// readGarbage reads the file.
func readGarbage(path string) (last time.Time, unused *filter, err error) {
	f, err := os.Open(path) //nolint:gosec // in the data directory
	if err != nil {
		return last, nil, fmt.Errorf("read what is unused: %w", err)
	}
	defer func() { _ = f.Close() }() // was only read
	info, err := f.Stat()
	if err != nil {
		return last, nil, fmt.Errorf("read what is unused: %w", err)
	}
	words := info.Size() - int64(garbageHeader+crc32.Size)
	if words <= 0 || words > maxFilter || words%8 != 0 {
		return last, nil, fmt.Errorf("read what is unused: %w: %d bytes", errCodec, info.Size())
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		return last, nil, fmt.Errorf("read what is unused: %w", err)
	}
	body, sum := b[:len(b)-crc32.Size], binary.LittleEndian.Uint32(b[len(b)-crc32.Size:])
	if string(b[:len(garbageMagic)]) != garbageMagic || crc32.Checksum(body, crcTable) != sum {
		return last, nil, fmt.Errorf("read what is unused: %w", errSum)
	}
	last = time.Unix(0, int64(binary.LittleEndian.Uint64(b[len(garbageMagic):]))) //nolint:gosec // was written from one
	unused = &filter{words: make([]uint64, words/8)}
	for i := range unused.words {
		unused.words[i] = binary.LittleEndian.Uint64(body[garbageHeader+8*i:])
	}
	return last, unused, nil
}

// saveGarbage writes the file. It need not survive a crash of the machine.
func (s *Store) saveGarbage() error {
	g := &s.garbage
	b := make([]byte, 0, garbageHeader+8*len(g.unused.words)+crc32.Size)
	b = append(b, garbageMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(g.last.UnixNano())) //nolint:gosec // a bit pattern
	for _, w := range g.unused.words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crcTable))
	path := s.garbagePath()
	err := os.WriteFile(path+".tmp", b, 0o640) //nolint:gosec // the group may read the store
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write what is unused: %w", err), os.Remove(path+".tmp"))
	}
	return nil
}
