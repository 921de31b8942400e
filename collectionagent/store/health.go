// SPDX-License-Identifier: Apache-2.0

package store

// Health says how an engine does at the moment.
type Health struct {
	// ReadOnly says why it takes no writes, "" when it does.
	ReadOnly string
	// FreeBytes is what may still be written to its file system, negative when that
	// is not known.
	FreeBytes int64
	// BacklogRows are samples that came faster than they were merged and wait for it;
	// Strained says that they are so many that fewer queries are worked on at once.
	BacklogRows int64
	Strained    bool
}

// Healthy is an engine that knows how it does. Health is cheap, and safe for
// concurrent use.
type Healthy interface {
	Health() Health
}
