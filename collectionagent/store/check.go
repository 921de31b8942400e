// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
)

// ErrInvalid is returned (wrapped) for a batch that contradicts itself. It will
// never be accepted.
var ErrInvalid = errors.New("invalid batch")

// Check reports whether every sample of the batch refers to one of its series.
// Engines call it before they store anything.
func (b *Batch) Check() error {
	for i := range b.Samples {
		if int64(b.Samples[i].Series) >= int64(len(b.Series)) {
			return fmt.Errorf("%w: sample %d refers to series %d of %d", ErrInvalid, i, b.Samples[i].Series, len(b.Series))
		}
	}
	return nil
}
