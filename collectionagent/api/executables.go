// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/query"
)

type executablesAnswer struct {
	*summary
	Executables []executable `json:"executables"`
	Hidden      int          `json:"hidden"`
	// UnnamedElsewhere is what has frames without a name in no file.
	UnnamedElsewhere int64 `json:"unnamed_elsewhere"`
}

type executable struct {
	FileID  string `json:"file_id"`
	BuildID string `json:"build_id"`
	// Name is the base name; Path is there when more than that was sent.
	Name    string `json:"name"`
	Path    string `json:"path"`
	Kind    string `json:"kind"`
	Runtime string `json:"runtime"`
	Self    int64  `json:"self"`
	Value   int64  `json:"value"`
	Unnamed int64  `json:"unnamed"`
	// Of the places in the code that were seen.
	Frames      int     `json:"frames"`
	NamedFrames int     `json:"named_frames"`
	LineFrames  int     `json:"line_frames"`
	Symbolized  float64 `json:"symbolized"`
}

func (s *server) executables(ctx context.Context, p *parameters) (*answer, error) {
	selection := p.selection()
	limit := p.integer("limit", defaultRows, 1, maxRows)
	order := p.executableOrder()
	p.stacks(selection)
	if p.err != nil {
		return nil, p.err
	}
	found, err := s.engine.Executables(ctx, selection, order, limit)
	if err != nil {
		return nil, err
	}
	a := executablesAnswer{
		summary: newSummary(&found.Summary), Executables: make([]executable, len(found.Rows)), Hidden: found.Hidden,
		UnnamedElsewhere: found.UnnamedElsewhere,
	}
	room := newRoom(ctx)
	for i := range found.Rows {
		r := &found.Rows[i]
		if _, err := room.row(nil, r.FileName, r.FileName, r.BuildID, r.Runtime); err != nil {
			return nil, err
		}
		a.Executables[i] = newExecutable(&found.Rows[i])
	}
	return jsonAnswer(a)
}

func newExecutable(r *query.ExecutableRow) executable {
	e := executable{
		FileID: r.FileID.String(), BuildID: r.BuildID, Name: r.FileName, Kind: r.Kind, Runtime: r.Runtime,
		Self: r.Self, Value: r.Value, Unnamed: r.Unnamed,
		Frames: r.Frames, NamedFrames: r.NamedFrames, LineFrames: r.LineFrames, Symbolized: r.Symbolized,
	}
	if strings.Contains(r.FileName, "/") {
		e.Name, e.Path = path.Base(r.FileName), r.FileName
	}
	return e
}

// executableOrder reads what executables are sorted by.
func (p *parameters) executableOrder() query.ExecutableOrder {
	switch sort := p.values.Get("sort"); sort {
	case "", "value":
	case "self":
		return query.ExecutablesBySelf
	case "unnamed":
		return query.ExecutablesByUnnamed
	default:
		p.fail("sort", fmt.Errorf("unknown order %q: expected value, self or unnamed", sort))
	}
	return query.ExecutablesByValue
}
