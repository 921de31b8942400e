// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"fmt"
	"unsafe"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// A request names each text and each frame once and refers to it with a byte or
// two, but a store keeps every stack and every series whole. Without a bound a
// request of 1 MiB could stand for hundreds of GiB. What a request may unfold to is
// expansion times the size that the request itself may have; what agents send
// unfolds to a fraction of that.
const expansion = 4

// Sizes of what requests unfold to, without their texts.
const (
	sizeOfSeries = int64(unsafe.Sizeof(store.Series{}))
	sizeOfSample = int64(unsafe.Sizeof(store.Sample{}))
	sizeOfFrame  = int64(unsafe.Sizeof(libpf.Frame{}))
	sizeOfStack  = int64(unsafe.Sizeof(store.Stack{}))
	sizeOfSymbol = int64(unsafe.Sizeof(store.Symbol{}))
	sizeOfLine   = int64(unsafe.Sizeof(libpf.SourceLine{}))
	sizeOfPoint  = int64(unsafe.Sizeof(store.MetricPoint{}))
	sizeOfLabel  = int64(unsafe.Sizeof(libpf.Label{}))
)

// expansionError says that a request unfolds to too much. In smaller pieces it
// may be taken.
type expansionError struct {
	field string
	limit int64
}

// Error implements error.
func (e *expansionError) Error() string {
	return fmt.Sprintf("%s: the request unfolds to more than %d bytes; send less at a time", e.field, e.limit)
}

// take notes that a field makes the request unfold to so many more bytes.
func (v *validator) take(field string, bytes int64) error {
	v.unfolded += bytes
	if v.unfolded > v.maxUnfolded {
		return &expansionError{field: field, limit: v.maxUnfolded}
	}
	return nil
}

// sizeOfLabels returns what labels add to a series.
func sizeOfLabels(labels []libpf.Label) int64 {
	n := int64(0)
	for i := range labels {
		n += sizeOfLabel + int64(len(labels[i].Key)+len(labels[i].Value))
	}
	return n
}

// fullSize returns the size of a series with all its texts.
func fullSize(s *store.Series) int64 {
	n := sizeOfSeries + sizeOfLabels(s.Labels)
	for _, text := range [...]string{
		s.Project, s.Service, s.HostID, s.Host, s.Namespace, s.Pod, s.ContainerID, s.Container, s.Process, s.Executable, s.Comm,
	} {
		n += int64(len(text))
	}
	return n
}
