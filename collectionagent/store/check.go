// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// ErrInvalid is returned (wrapped) for a batch that contradicts itself. It will
// never be accepted.
var ErrInvalid = errors.New("invalid batch")

// Times of samples are a year away from those that 64 bits hold, so that neither cutting
// one to a bucket nor adding the width of one overflows.
const (
	earliestTime = math.MinInt64 + libpf.UnixTimeNs(366*24*time.Hour)
	latestTime   = math.MaxInt64 - libpf.UnixTimeNs(366*24*time.Hour)
)

// Check reports whether every sample of the batch refers to one of its series and has a
// time that can be stored. Engines call it before they store anything.
func (b *Batch) Check() error {
	for i := range b.Samples {
		s := &b.Samples[i]
		if int64(s.Series) >= int64(len(b.Series)) {
			return fmt.Errorf("%w: sample %d refers to series %d of %d", ErrInvalid, i, s.Series, len(b.Series))
		}
		if s.Time < earliestTime || s.Time > latestTime {
			return fmt.Errorf("%w: sample %d has the time %d", ErrInvalid, i, s.Time)
		}
	}
	return nil
}
