// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/strobe-profiler/strobe/internal/hostmemory"
)

// Part is something that takes memory.
type Part string

// Parts, in the order of docs/memory.md.
const (
	Ingest      Part = "ingest"      // requests of agents being read and worked on
	Head        Part = "head"        // samples that are not in a block yet
	Queries     Part = "queries"     // questions being answered
	Definitions Part = "definitions" // names of stacks and frames that were looked up
	Blocks      Part = "blocks"      // open blocks with their tables of series
	Labels      Part = "labels"      // index of values of labels
	Metadata    Part = "metadata"    // cache and memtables of Pebble
	Compaction  Part = "compaction"  // blocks being merged
)

// Parts lists all of them.
var Parts = []Part{Ingest, Head, Queries, Definitions, Blocks, Labels, Metadata, Compaction}

// shares says how the memory is divided, of 80 in all: a fifth of the whole stays for
// what nobody counts, which is garbage that was not collected yet, the
// connections, the fleet and the program. least is what a part cannot do without.
var shares = map[Part]struct{ weight, least int64 }{
	Ingest:      {12, 16 << 20},
	Head:        {20, 8 << 20},
	Queries:     {20, 32 << 20},
	Definitions: {6, 4 << 20},
	Blocks:      {6, 8 << 20},
	Labels:      {3, 2 << 20},
	Metadata:    {6, 12 << 20},
	Compaction:  {7, 24 << 20},
}

// The whole and what of it the parts may have.
const (
	whole   = 100
	counted = 80
)

// Bounds of the memory of the process.
const (
	leastDefault = 256 << 20
	mostDefault  = 2 << 30
)

// Fixed is the size of a part that was set by hand.
type Fixed struct {
	Flag  string // that set it
	Bytes int64
}

// Plan says how much each part may have.
type Plan struct {
	Total int64
	Bytes map[Part]int64
}

// ErrPlan is returned (wrapped) when the parts do not fit.
var ErrPlan = errors.New("memory does not suffice")

// NewPlan divides the memory of the process. What is fixed stays as it is; the other
// parts share the rest by their weights, each at least what it needs. floors are
// what parts need at least because of other settings.
func NewPlan(total int64, fixed map[Part]Fixed, floors map[Part]Fixed) (*Plan, error) {
	p := &Plan{Total: total, Bytes: make(map[Part]int64, len(Parts))}
	rest := total / whole * counted
	var names []string
	var fixedSum int64
	open := make(map[Part]bool)
	for _, part := range Parts {
		if f, ok := fixed[part]; ok {
			p.Bytes[part] = f.Bytes
			fixedSum += f.Bytes
			names = append(names, fmt.Sprintf("%s %d MiB", f.Flag, f.Bytes>>20))
			continue
		}
		open[part] = true
	}
	rest -= fixedSum
	// A part whose share is below what it needs gets that, and leaves less for the others.
	var leastSum int64
	for changed := true; changed; {
		changed = false
		var weights int64
		for part := range open {
			weights += shares[part].weight
		}
		for part := range open {
			least := max(shares[part].least, floors[part].Bytes)
			if rest*shares[part].weight/weights <= least {
				p.Bytes[part] = least
				leastSum += least
				rest -= least
				delete(open, part)
				changed = true
				break
			}
			p.Bytes[part] = rest * shares[part].weight / weights
		}
	}
	if rest < 0 {
		for _, f := range floors {
			names = append(names, f.Flag)
		}
		need := (fixedSum + leastSum) / counted * whole
		advice := "raise -memory"
		if len(names) > 0 {
			advice += ", or lower " + strings.Join(names, ", ")
		}
		return nil, fmt.Errorf("%w: %d MiB, but the parts need %d MiB together with room for what is not counted: %s",
			ErrPlan, total>>20, (need+1<<20-1)>>20, advice)
	}
	return p, nil
}

// DefaultTotal returns a quarter of what the machine or the cgroup has, at least 256
// MiB and at most 2 GiB.
func DefaultTotal() int64 { return min(max(hostmemory.Available()/4, leastDefault), mostDefault) }

// RuntimeLimit returns what the runtime should keep the process below.
func (p *Plan) RuntimeLimit() int64 { return p.Total / 100 * 85 }
