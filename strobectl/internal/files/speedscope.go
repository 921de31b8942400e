// SPDX-License-Identifier: Apache-2.0

package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// speedscopeFile is the format of https://www.speedscope.app, as far as it is used.
type speedscopeFile struct {
	Schema string `json:"$schema"`
	Shared struct {
		Frames []speedscopeFrame `json:"frames"`
	} `json:"shared"`
	Profiles []speedscopeProfile `json:"profiles"`
	Name     string              `json:"name"`
	Exporter string              `json:"exporter,omitempty"`
}

type speedscopeFrame struct {
	Name string `json:"name"`
	File string `json:"file,omitempty"`
	Line int64  `json:"line,omitempty"`
}

type speedscopeProfile struct {
	Type       string            `json:"type"`
	Name       string            `json:"name"`
	Unit       string            `json:"unit"`
	StartValue float64           `json:"startValue"`
	EndValue   float64           `json:"endValue"`
	Samples    [][]int           `json:"samples,omitempty"`
	Weights    []float64         `json:"weights,omitempty"`
	Events     []speedscopeEvent `json:"events,omitempty"`
}

type speedscopeEvent struct {
	Type  string  `json:"type"`
	At    float64 `json:"at"`
	Frame int     `json:"frame"`
}

// speedscopeUnits are our units, and how many of them one of theirs is.
var speedscopeUnits = map[string]struct {
	unit  string
	times float64
}{
	"nanoseconds": {"nanoseconds", 1}, "microseconds": {"nanoseconds", 1e3}, "milliseconds": {"nanoseconds", 1e6},
	"seconds": {"nanoseconds", 1e9}, "bytes": {"bytes", 1}, "none": {"count", 1}, "": {"count", 1},
}

// writeSpeedscope writes a tree as one profile of samples.
func writeSpeedscope(w io.Writer, t *tree.Tree, title string) error {
	f := speedscopeFile{Schema: "https://www.speedscope.app/file-format-schema.json", Name: title, Exporter: "strobectl"}
	unit := t.Unit
	if unit == "count" {
		unit = "none"
	}
	p := speedscopeProfile{Type: "sampled", Name: t.Type, Unit: unit, EndValue: float64(t.Root.Total), Samples: [][]int{}, Weights: []float64{}}
	index := map[speedscopeFrame]int{}
	t.Paths(func(path []*tree.Node) {
		stack := make([]int, len(path)-1)
		for i, n := range path[1:] {
			frame := speedscopeFrame{n.Name, n.File, n.Line}
			at, ok := index[frame]
			if !ok {
				at = len(f.Shared.Frames)
				index[frame] = at
				f.Shared.Frames = append(f.Shared.Frames, frame)
			}
			stack[i] = at
		}
		p.Samples = append(p.Samples, stack)
		p.Weights = append(p.Weights, float64(path[len(path)-1].Self))
	})
	if f.Shared.Frames == nil {
		f.Shared.Frames = []speedscopeFrame{}
	}
	f.Profiles = []speedscopeProfile{p}
	return json.NewEncoder(w).Encode(f)
}

// readSpeedscope sums all profiles of a file that have the unit of the first.
func readSpeedscope(data []byte) (*tree.Tree, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("larger than %d MiB", maxBytes>>20)
	}
	var f speedscopeFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("read speedscope file: %w", err)
	}
	if len(f.Profiles) == 0 {
		return nil, errors.New("the speedscope file has no profiles")
	}
	unit, ok := speedscopeUnits[f.Profiles[0].Unit]
	if !ok {
		return nil, fmt.Errorf("profile 0: the unit %q is not known", f.Profiles[0].Unit)
	}
	typ := "samples"
	if unit.unit == "nanoseconds" {
		typ = "wall"
	}
	r := speedscopeReader{file: &f, out: tree.New(typ, unit.unit)}
	for i := range f.Profiles {
		p := &f.Profiles[i]
		if u, ok := speedscopeUnits[p.Unit]; !ok || u.unit != unit.unit {
			return nil, fmt.Errorf("profile %d has the unit %q, the first one %q: they cannot be summed", i, p.Unit, f.Profiles[0].Unit)
		}
		read := r.sampled
		if p.Type == "evented" {
			read = r.evented
		}
		if err := read(p, speedscopeUnits[p.Unit].times); err != nil {
			return nil, fmt.Errorf("profile %d: %w", i, err)
		}
	}
	return r.out, nil
}

type speedscopeReader struct {
	file  *speedscopeFile
	out   *tree.Tree
	stack []tree.Frame
}

func (r *speedscopeReader) frame(i int) (tree.Frame, error) {
	if i < 0 || i >= len(r.file.Shared.Frames) {
		return tree.Frame{}, fmt.Errorf("there is no frame %d", i)
	}
	f := r.file.Shared.Frames[i]
	return tree.Frame{Name: f.Name, File: f.File, Line: f.Line, Kind: kindOf("", f.File)}, nil
}

// add adds what is on the stack for a weight.
func (r *speedscopeReader) add(weight float64) error {
	sum := weight + float64(r.out.Root.Total)
	if math.IsNaN(sum) || weight < 0 || sum > 1<<62 {
		return fmt.Errorf("the weight %g is no sensible number", weight)
	}
	if v := int64(weight + 0.5); v > 0 {
		r.out.Add(r.stack, v)
	}
	return nil
}

func (r *speedscopeReader) sampled(p *speedscopeProfile, times float64) error {
	if len(p.Weights) != 0 && len(p.Weights) != len(p.Samples) {
		return fmt.Errorf("there are %d samples and %d weights", len(p.Samples), len(p.Weights))
	}
	for i, sample := range p.Samples {
		r.stack = r.stack[:0]
		for _, at := range sample {
			f, err := r.frame(at)
			if err != nil {
				return err
			}
			r.stack = append(r.stack, f)
		}
		weight := 1.0
		if len(p.Weights) != 0 {
			weight = p.Weights[i] * times
		}
		if err := r.add(weight); err != nil {
			return err
		}
	}
	return nil
}

func (r *speedscopeReader) evented(p *speedscopeProfile, times float64) error {
	r.stack = r.stack[:0]
	at := p.StartValue
	for i, e := range p.Events {
		if e.At < at {
			return fmt.Errorf("event %d is before the one before it", i)
		}
		if len(r.stack) > 0 {
			if err := r.add((e.At - at) * times); err != nil {
				return err
			}
		}
		at = e.At
		f, err := r.frame(e.Frame)
		if err != nil {
			return err
		}
		switch {
		case e.Type == "O" && len(r.stack) < 16<<10:
			r.stack = append(r.stack, f)
		case e.Type == "C" && len(r.stack) > 0 && r.stack[len(r.stack)-1] == f:
			r.stack = r.stack[:len(r.stack)-1]
		default:
			return fmt.Errorf("event %d does not open a frame, nor close the innermost one", i)
		}
	}
	return nil
}
