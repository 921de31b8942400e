// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrRefused is matched by the errors of all files that are there and are not opened.
var ErrRefused = errors.New("file refused")

// ErrNotRegular is matched by the refusal of what is not a regular file.
var ErrNotRegular = errors.New("not a regular file")

// Reason is why a file is refused.
type Reason uint8

// Reasons.
const (
	// NotRegular is a directory, device, FIFO or socket.
	NotRegular Reason = iota
	// PseudoFile is a file whose content the kernel makes up when it is read.
	PseudoFile
	// Link is a link that leads out of the root that it is in, or one of too many.
	Link
	// Owner is a file of another user than it must be of.
	Owner
	// TooLarge is a file above the limit of its kind.
	TooLarge
	// Replaced is another file than the one that was mapped.
	Replaced
	reasons
)

// String returns the reason as it is in metrics.
func (r Reason) String() string {
	names := [...]string{"not_regular", "pseudo_file", "link", "owner", "too_large", "replaced"}
	if int(r) >= len(names) {
		return "unknown"
	}
	return names[r]
}

// refusals counts them for the whole process: whoever opens files has no other
// thing in common.
var refusals [reasons]atomic.Uint64

// Refusals calls f for each reason with how many files were refused so far.
func Refusals(f func(reason string, n uint64)) {
	for r := range reasons {
		f(r.String(), refusals[r].Load())
	}
}

// Refuse counts a refusal and returns the error that says so. Packages that
// know more of a file than this one call it.
func Refuse(r Reason, format string, args ...any) error {
	refusals[r].Add(1)
	e := &refusal{reason: r, err: fmt.Errorf(format, args...)}
	return e
}

// refusal is the error of a file that is not opened.
type refusal struct {
	reason Reason
	err    error
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }
func (e *refusal) Is(target error) bool {
	return target == ErrRefused || target == ErrNotRegular && e.reason == NotRegular
}
