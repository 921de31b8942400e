// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"time"
	"unicode"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// Limits of single values beside [Limits]. They are far above what an honest agent sends.
const (
	maxHostID   = 128
	maxHostName = 255
	maxLines    = 1 << 12 // of a frame: inlined functions
	// maxValue keeps sums of many values from overflowing: 104 days in nanoseconds.
	maxValue = 1 << 53
	maxCount = 1 << 31
)

// What the store's types take, for the meter.
const (
	labelBytes  = 32
	seriesBytes = 600 // with its place in maps
	sampleBytes = 80
	frameBytes  = 104
	symbolBytes = 64
	lineBytes   = 72
	entryBytes  = 64
	hashBytes   = 16
)

// earliest is the first time that is believed. Clocks that were never set say 1970.
const earliest = libpf.UnixTimeNs(946_684_800 * int64(time.Second)) // 2000-01-01

// maxAhead is how far ahead of this machine's clock a time may be.
const maxAhead = 24 * time.Hour

// validator checks parts of requests against each other.
type validator struct {
	now    libpf.UnixTimeNs
	limits Limits
	meter  *meter
}

// batch checks and converts the identity of a request.
func (v *validator) batch(b *pb.Batch, project string, t store.BatchType) (store.BatchID, error) {
	id := store.BatchID{Project: project, Type: t}
	switch {
	case b == nil:
		return id, invalid("batch", "is missing")
	case b.HostId == "":
		return id, invalid("batch.host_id", "is empty")
	case len(b.HostId) > maxHostID:
		return id, invalid("batch.host_id", "has %d bytes, at most %d are allowed", len(b.HostId), maxHostID)
	case !printable(b.HostId):
		return id, invalid("batch.host_id", "holds characters that cannot be printed")
	case len(b.RunId) != 16:
		return id, invalid("batch.run_id", "has %d bytes instead of 16", len(b.RunId))
	case b.Sequence == 0:
		return id, invalid("batch.sequence", "is 0, the first is 1")
	case len(b.HostName) > maxHostName:
		return id, invalid("batch.host_name", "has %d bytes, at most %d are allowed", len(b.HostName), maxHostName)
	case !printable(b.HostName):
		return id, invalid("batch.host_name", "holds characters that cannot be printed")
	}
	id.HostID = b.HostId
	copy(id.RunID[:], b.RunId)
	id.Sequence = b.Sequence
	return id, nil
}

func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// time checks that a time is one that a clock could have shown.
func (v *validator) time(field string, t libpf.UnixTimeNs) error {
	if t < earliest {
		return invalid(field, "time %s is before %s", t, earliest)
	}
	if limit := v.now + libpf.UnixTimeNs(maxAhead); t > limit {
		return invalid(field, "time %s is more than %s in the future", t, maxAhead)
	}
	return nil
}

// seconds checks a time in seconds since the epoch.
func (v *validator) seconds(field string, sec uint64) error {
	if sec > 1<<33 { // would overflow as nanoseconds
		return invalid(field, "time of %d s is more than %s in the future", sec, maxAhead)
	}
	return v.time(field, libpf.UnixTimeNs(int64(sec)*int64(time.Second))) //nolint:gosec // bounded above
}

// sameLength checks that a column has as many entries as the first of its table.
func sameLength(field string, got int, first string, want int) error {
	if got != want {
		return invalid(field, "has %d entries, %s has %d", got, first, want)
	}
	return nil
}

// optionalLength is sameLength for a column that may be left empty.
func optionalLength(field string, got int, first string, want int) error {
	if got == 0 {
		return nil
	}
	return sameLength(field, got, first, want)
}

// index checks an index into a table.
func index(field string, i uint32, table string, entries int) error {
	if int64(i) >= int64(entries) {
		return invalid(field, "index %d out of range, %s has %d entries", i, table, entries)
	}
	return nil
}

// text checks the length of a text.
func (v *validator) text(field, s string) error {
	if len(s) > v.limits.MaxTextBytes {
		return invalid(field, "has %d bytes, at most %d are allowed", len(s), v.limits.MaxTextBytes)
	}
	return nil
}

// stringTable is the checked string_table of a request.
type stringTable []string

// stringTable checks a string table. A table that was left out has the empty text.
func (v *validator) stringTable(table []string) (stringTable, error) {
	if len(table) == 0 {
		return stringTable{""}, nil
	}
	if table[0] != "" {
		return nil, invalid("string_table[0]", "is not empty")
	}
	for i, s := range table {
		if len(s) > v.limits.MaxTextBytes {
			return nil, v.text(at("string_table", i), s)
		}
	}
	return table, nil
}

// column checks that every entry of a column is an index into the table.
func (t stringTable) column(field string, indices []uint32) error {
	for i, s := range indices {
		if int64(s) >= int64(len(t)) {
			return index(at(field, i), s, "string_table", len(t))
		}
	}
	return nil
}

// get returns a text, checking the index.
func (t stringTable) get(field string, i uint32) (string, error) {
	if err := index(field, i, "string_table", len(t)); err != nil {
		return "", err
	}
	return t[i], nil
}

// of returns the text of a checked optional column's entry, "" when the column was left out.
func (t stringTable) of(column []uint32, i int) string {
	if len(column) == 0 {
		return ""
	}
	return t[column[i]]
}

// labels checks and converts a label set.
func (v *validator) labels(t stringTable, field string, set *pb.LabelSet) ([]libpf.Label, error) {
	keys, values := set.GetKeys(), set.GetValues()
	if err := sameLength(field+".values", len(values), field+".keys", len(keys)); err != nil {
		return nil, err
	}
	if len(keys) > v.limits.MaxLabels {
		return nil, invalid(field+".keys", "has %d entries, at most %d are allowed", len(keys), v.limits.MaxLabels)
	}
	if err := v.meter.charge(field, len(keys), labelBytes); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	labels := make([]libpf.Label, len(keys))
	for i := range keys {
		key, err := t.get(at(field+".keys", i), keys[i])
		if err != nil {
			return nil, err
		}
		value, err := t.get(at(field+".values", i), values[i])
		if err != nil {
			return nil, err
		}
		if key == "" {
			return nil, invalid(at(field+".keys", i), "is empty")
		}
		if i > 0 && key <= labels[i-1].Key {
			return nil, invalid(at(field+".keys", i), "key %q does not come after %q", key, labels[i-1].Key)
		}
		labels[i] = libpf.Label{Key: key, Value: value}
	}
	return labels, nil
}

// hashes checks that two halves of a column of hashes belong together.
func hashes(name string, hi, lo []uint64) error {
	return sameLength("lo_"+name, len(lo), "hi_"+name, len(hi))
}
