// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"
	"unsafe"

	"github.com/elastic/go-freelru"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// labelsType marks a record that is a set of labels; see support/ebpf/types.h.
const labelsType = 0xff

// labelSetCacheSize is how many sets of labels are kept. It is less than the
// kernel side's table of what is confirmed, which stacks share.
const labelSetCacheSize = 4096

// labelSets holds the labels that programs set, by the hash under which samples
// name them. It is used by one goroutine.
type labelSets struct {
	k       *kernelSide
	metrics *metrics
	sets    *freelru.LRU[uint64, []libpf.Label]
}

func newLabelSets(k *kernelSide, m *metrics) (*labelSets, error) {
	l := &labelSets{k: k, metrics: m}
	var err error
	l.sets, err = freelru.New[uint64, []libpf.Label](labelSetCacheSize, func(h uint64) uint32 { return uint32(h >> 32) })
	if err != nil {
		return nil, fmt.Errorf("create cache of labels: %w", err)
	}
	l.sets.SetOnEvict(func(hash uint64, _ []libpf.Label) {
		_ = k.objs.Confirmed.Delete(support.StrobeStackKey{Hi: hash, Lo: labelsType})
	})
	return l, nil
}

// read takes in a set of labels.
func (l *labelSets) read(h *support.StrobeSampleHeader, raw []byte) {
	labels, ok := parseLabels(h, raw)
	if !ok {
		l.metrics.badRecords.Inc()
		return
	}
	l.sets.Add(h.Labels, labels)
	if err := l.k.objs.Confirmed.Put(support.StrobeStackKey{Hi: h.Labels, Lo: labelsType}, uint32(1)); err != nil {
		l.metrics.confirmErrors.Inc()
	}
}

// parseLabels reads the labels of a record, sorted. ok is false when it is cut short.
func parseLabels(h *support.StrobeSampleHeader, raw []byte) (labels []libpf.Label, ok bool) {
	const size = int(unsafe.Sizeof(support.StrobeLabel{}))
	if len(raw)/size < int(h.UserWords) {
		return nil, false
	}
	labels = make([]libpf.Label, 0, h.UserWords)
	for range h.UserWords {
		x := (*support.StrobeLabel)(unsafe.Pointer(&raw[0])) //nolint:gosec // length checked; layouts are generated from BTF
		raw = raw[size:]
		key := cutText(x.Key[:], x.KeyLength)
		if key == "" {
			continue
		}
		labels = append(labels, libpf.Label{Key: key, Value: cutText(x.Value[:], x.ValueLength)})
	}
	slices.SortStableFunc(labels, func(a, b libpf.Label) int { return cmp.Compare(a.Key, b.Key) })
	return slices.CompactFunc(labels, func(a, b libpf.Label) bool { return a.Key == b.Key }), true
}

// of returns the set with a hash, nil for none.
func (l *labelSets) of(hash uint64) []libpf.Label {
	if hash == 0 {
		return nil
	}
	labels, ok := l.sets.Get(hash)
	if !ok {
		// Its record was lost, or it left the cache while samples waited.
		l.metrics.lostLabels.Inc()
		_ = l.k.objs.Confirmed.Delete(support.StrobeStackKey{Hi: hash, Lo: labelsType})
	}
	return labels
}

// cutText makes text of what the kernel side read, with a mark where it was cut.
func cutText(b []int8, length uint32) string {
	n := min(int(length), len(b))
	raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), len(b))[:n] //nolint:gosec // the same bytes
	if int(length) <= len(b) {
		return process.Clean(raw)
	}
	for range utf8.UTFMax - 1 { // not in the middle of a character
		if r, size := utf8.DecodeLastRune(raw[:n]); r != utf8.RuneError || size != 1 {
			break
		}
		n--
	}
	return process.Clean(raw[:n]) + "…"
}
