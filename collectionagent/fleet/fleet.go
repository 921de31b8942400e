// SPDX-License-Identifier: Apache-2.0

// Package fleet remembers what agents last said of themselves, and counts what
// the server did with what they sent. Both are kept in memory alone: agents
// report every few seconds, so a server that starts anew knows soon.
//
// What an agent says is a claim, not a fact. It is shown beside what the server
// knows itself, and nothing else depends on it.
package fleet

import (
	"math/bits"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// Report is what an agent says of itself.
type Report struct {
	HostID   string
	HostName string
	RunID    [16]byte
	// Time and Start, of the run, are by the agent's clock.
	Time, Start  libpf.UnixTimeNs
	AgentVersion string
	// State of delivery in the agent's words, and its last error, "" for none.
	State, LastError string
	Ledger           Ledger
	Spool            Spool
	Limitations      []Limitation
}

// Ledger says what became of the samples of a run, by weight.
type Ledger struct {
	// Captured includes Recovered, which runs before had left in the spool.
	Captured, Recovered     uint64
	Stored, Queued, Spooled uint64
	Dropped                 map[string]uint64 // by reason
}

// Spool is the state of an agent's spool on disk.
type Spool struct {
	State                    string
	Bytes, MaxBytes, Batches uint64
}

// Limitation is something that is off on a host, and what would turn it on.
type Limitation struct{ Name, Effect, Fix string }

// Agent is the newest report of a host.
type Agent struct {
	Report
	// Received is when the report arrived, by the server's clock.
	Received time.Time
	// LastDrop is when a report first showed the count of dropped samples that
	// the newest one shows; zero: none were dropped.
	LastDrop time.Time
}

// DroppedSum returns how many samples were dropped, whatever the reason. It
// ends at the largest number.
func (l *Ledger) DroppedSum() uint64 {
	sum, _ := add(0, l.Dropped)
	return sum
}

// AddsUp reports whether captured = stored + queued + spooled + dropped.
func (l *Ledger) AddsUp() bool {
	sum, ok := l.Stored, true
	for _, n := range []uint64{l.Queued, l.Spooled} {
		var carry uint64
		sum, carry = bits.Add64(sum, n, 0)
		ok = ok && carry == 0
	}
	sum, fits := add(sum, l.Dropped)
	return ok && fits && sum == l.Captured && l.Recovered <= l.Captured
}

// Add adds another ledger to this one.
func (l *Ledger) Add(o *Ledger) {
	l.Captured += o.Captured
	l.Recovered += o.Recovered
	l.Stored += o.Stored
	l.Queued += o.Queued
	l.Spooled += o.Spooled
	for reason, n := range o.Dropped {
		if l.Dropped == nil {
			l.Dropped = map[string]uint64{}
		}
		l.Dropped[reason] += n
	}
}

// add adds the values of a map to a sum; ok is false when that does not fit.
func add(sum uint64, values map[string]uint64) (_ uint64, ok bool) {
	for _, n := range values {
		s, carry := bits.Add64(sum, n, 0)
		if carry != 0 {
			return ^uint64(0), false
		}
		sum = s
	}
	return sum, true
}

// size estimates the memory that an agent takes, in bytes.
func (a *Agent) size() int {
	const fixed, entry = 512, 64 // of the report with its places in map and list; of an entry of a map or a list
	n := fixed + len(a.HostID) + len(a.HostName) + len(a.AgentVersion) + len(a.State) + len(a.LastError) + len(a.Spool.State)
	for reason := range a.Ledger.Dropped {
		n += entry + len(reason)
	}
	for _, l := range a.Limitations {
		n += entry + len(l.Name) + len(l.Effect) + len(l.Fix)
	}
	return n
}
