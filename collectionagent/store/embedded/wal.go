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
	"slices"
	"strconv"
	"strings"
)

// A log segment starts with walMagic. Then come records:
//
//	mark    4 bytes, recordMark: lets a reader find the next record behind damage
//	crc     4 bytes little endian, CRC-32C of the number of the segment (8 bytes, little
//	        endian), length and payload: a record of another segment, which refers to other
//	        tables, is no record
//	length  4 bytes little endian, of what follows
//	payload a group of batches, see segmentCode
const (
	walFamily    = "STROBEWAL"                         // then a digit: the format
	walMagic     = walFamily + "2\r\n\x00\x00\x00\x00" // 16 bytes
	recordMark   = "\xf5SW2"
	recordHeader = 12
	// maxRecord bounds the length a reader believes.
	maxRecord = 1 << 30
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errWALFormat is returned for a segment of another format.
var errWALFormat = errors.New("the log has a format that this program does not read")

// checkFormat returns an error when a segment that starts with magic is of another format.
func checkFormat(magic []byte) error {
	rest, ok := strings.CutPrefix(string(magic), walFamily)
	if !ok || len(magic) < len(walMagic) || rest[1:] != walMagic[len(walFamily)+1:] || string(magic) == walMagic || rest[0] < '0' || rest[0] > '9' {
		return nil
	}
	return fmt.Errorf("%w (format %c, it reads %c): start and stop the program that wrote it, which leaves no log behind, or move the file away and lose its samples",
		errWALFormat, rest[0], walMagic[len(walFamily)])
}

// sealRecord makes b, which has room for the header and then the payload, a record.
func sealRecord(segment uint64, b []byte) {
	copy(b, recordMark)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-recordHeader)) //nolint:gosec // a group is bounded far below
	binary.LittleEndian.PutUint32(b[4:], recordCRC(segment, b[8:12], b[recordHeader:]))
}

func recordCRC(segment uint64, length, payload []byte) uint32 {
	sum := crc32.Checksum(binary.LittleEndian.AppendUint64(nil, segment), crcTable)
	return crc32.Update(crc32.Update(sum, crcTable, length), crcTable, payload)
}

// parseRecord reads the record of a segment at the start of b. ok is false when there is
// no whole and intact one.
func parseRecord(segment uint64, b []byte) (payload []byte, size int, ok bool) {
	if len(b) < recordHeader || string(b[:4]) != recordMark {
		return nil, 0, false
	}
	n := binary.LittleEndian.Uint32(b[8:12])
	if n > maxRecord || int64(n) > int64(len(b)-recordHeader) {
		return nil, 0, false
	}
	size = recordHeader + int(n)
	payload = b[recordHeader:size]
	return payload, size, recordCRC(segment, b[8:12], payload) == binary.LittleEndian.Uint32(b[4:8])
}

// walFile is what the log needs of a file; tests put faults in between.
type walFile interface {
	Write(b []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// wal writes the log. Only the committer uses it.
type wal struct {
	dir string
	// create opens a new segment; a field so that tests can make the disk fail.
	create func(path string) (walFile, error)

	file    walFile
	segment uint64 // number of the open segment
	size    int64  // of the open segment, up to the last record that was synced
	// code is what the open segment says up to there.
	code   segmentCode
	record []byte // memory for a record
}

// segmentPath returns the path of a segment.
func segmentPath(dir string, n uint64) string { return filepath.Join(dir, fmt.Sprintf("%010d.wal", n)) }

// listSegments returns the numbers of the segments in dir, ascending.
func listSegments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list log segments: %w", err)
	}
	var numbers []uint64
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".wal")
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(base, 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// createFile creates a segment on the real file system.
func createFile(path string) (walFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640) //nolint:gosec // the group may read the store
}

// open starts the segment with the given number and makes it durable, so that
// the log never has a record in a file whose name could be lost.
func (w *wal) open(n uint64) error {
	path := segmentPath(w.dir, n)
	f, err := w.create(path)
	for errors.Is(err, fs.ErrExist) {
		n++ // left over from a creation that failed halfway
		path = segmentPath(w.dir, n)
		f, err = w.create(path)
	}
	if err != nil {
		return fmt.Errorf("create log segment: %w", err)
	}
	if _, err = f.Write([]byte(walMagic)); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(w.dir)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return fmt.Errorf("start log segment: %w", err)
	}
	w.file, w.segment, w.size = f, n, int64(len(walMagic))
	w.code.reset()
	return nil
}

// append writes batches that the head has numbered as one record and makes it durable.
// It returns the size of the record. After an error nothing of them is in the log as far as
// that can be known, and the segment is closed with all that it says: what the kernel still
// holds of it after a failed fsync is unknown, so it is not used again.
func (w *wal) append(h *head, group []numbered) (int, error) {
	if w.file == nil {
		if err := w.open(w.segment + 1); err != nil {
			return 0, err
		}
	}
	record := w.code.appendGroup(append(w.record[:0], make([]byte, recordHeader)...), h, group)
	sealRecord(w.segment, record)
	if w.record = record; cap(record) > maxKeptBytes {
		w.record = nil
	}
	_, err := w.file.Write(record)
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		w.size += int64(len(record))
		return len(record), nil
	}
	truncateErr := w.file.Truncate(w.size)
	if truncateErr == nil {
		truncateErr = w.file.Sync()
	}
	closeErr := w.file.Close()
	w.file = nil
	return 0, fmt.Errorf("write log segment %d: %w", w.segment, errors.Join(err, truncateErr, closeErr))
}

// full reports whether the open segment, or what a reader has to remember of it, is
// large enough.
func (w *wal) full(segmentBytes int64) bool {
	return w.file != nil && (w.size >= segmentBytes || w.code.bytes >= maxTables)
}

// rotate ends the segment and returns the number of the next. The file of the
// next is created when the first record comes.
func (w *wal) rotate() (uint64, error) {
	var err error
	if w.file != nil {
		err = w.file.Close() // everything in it is synced
		w.file = nil
	}
	return w.segment + 1, err
}

// removeSegments deletes the segments before first.
func removeSegments(dir string, first uint64) error {
	numbers, err := listSegments(dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n >= first {
			break
		}
		if err := os.Remove(segmentPath(dir, n)); err != nil {
			return fmt.Errorf("remove log segment: %w", err)
		}
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // in the data directory, or where the operator wants a backup
	if err != nil {
		return fmt.Errorf("open directory to sync: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
