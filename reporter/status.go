// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"sync"
	"time"
)

// State says how a reporter and its server get on.
type State int

// States of a reporter.
const (
	StateStarting     State = iota // no attempt has ended yet
	StateConnected                 // the last attempt succeeded
	StateDisconnected              // the server is away or does not answer in time
	StateOverloaded                // the server asked to wait
	StateRefused                   // the server refuses this agent: credentials, version or permission
	StateStopped
)

// String returns starting, connected, disconnected, overloaded, refused or stopped.
func (s State) String() string {
	names := [...]string{"starting", "connected", "disconnected", "overloaded", "refused", "stopped"}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Status is a snapshot of a reporter for people and their pages.
type Status struct {
	State State
	// Connected: the last attempt to deliver succeeded.
	Connected bool
	// LastError is "" when there was none yet. It stays after a recovery, with its time.
	LastError     string
	LastErrorTime time.Time
	// LastSuccess is when the server last acknowledged or greeted; zero: never.
	LastSuccess time.Time
	// BacklogBatches are sealed and not acknowledged, BacklogBytes their size.
	BacklogBatches, BacklogBytes int
	Queues                       []QueueStatus
	Ledger                       Ledger
	Spool                        SpoolStatus
}

// SpoolStatus describes the spool on disk.
type SpoolStatus struct {
	// State is on, off, or the reason why the spool does not work at the moment.
	State string
	// Bytes that the spool takes up on disk, and its cap.
	Bytes, MaxBytes int64
	// Batches that wait in it, in how many files.
	Batches, Segments int
	// Oldest is when the oldest of them was put there; zero: it is empty.
	Oldest time.Time
	// ForeignBytes are batches that a reporter of the other protocol left in the directory.
	// They count for nothing else here: only such a reporter can send them.
	ForeignBytes int64
}

// QueueStatus describes one of the queues.
type QueueStatus struct {
	// Name is counts, frames, frame_metadata, executables, fallback_symbols, host_metadata or metrics.
	Name            string
	Items, MaxItems int
	Bytes, MaxBytes int
	// Overwritten is what was lost because the queue was full, by weight, since the start.
	Overwritten uint64
	// Summed is how many samples were summed into others because the queue was full.
	Summed uint64
	// Resent is how many definitions were queued again because the server lacked them.
	Resent uint64
	// Lacked is how many definitions the server asked for that were not in memory any
	// more, such as those of samples that waited on disk while the server lost its memory.
	Lacked uint64
}

// connState is what Status reports about the connection. Safe for concurrent use.
type connState struct {
	mu          sync.Mutex
	state       State
	lastErr     string
	lastErrTime time.Time
	lastSuccess time.Time
	changes     uint64
}

func (c *connState) set(state State, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != state {
		c.changes++
	}
	c.state = state
	if state == StateConnected {
		c.lastSuccess = time.Now()
	}
	if err != nil {
		c.lastErr, c.lastErrTime = err.Error(), time.Now()
	}
}

// note remembers an error that does not change the state.
func (c *connState) note(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr, c.lastErrTime = err.Error(), time.Now()
}

func (c *connState) is(state State) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == state
}

// seen returns how often the state changed, and whether it is connected.
func (c *connState) seen() (changes uint64, connected bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes, c.state == StateConnected
}

// status fills in what the pump knows.
func (p *pump) status(samples *sampleQueue, queues ...QueueStatus) Status {
	s := Status{
		Queues: queues, Ledger: samples.ledger(),
		BacklogBatches: int(p.meters.backlogBatches.Load()), BacklogBytes: int(p.meters.backlogBytes.Load()),
	}
	s.Spool, _ = p.backlog.disk.status()
	p.state.mu.Lock()
	defer p.state.mu.Unlock()
	s.State, s.Connected = p.state.state, p.state.state == StateConnected
	s.LastError, s.LastErrorTime, s.LastSuccess = p.state.lastErr, p.state.lastErrTime, p.state.lastSuccess
	return s
}
