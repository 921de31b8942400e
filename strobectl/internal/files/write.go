// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlppprof"
	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// WriteTree writes a tree in a format that holds no more than functions: all but
// [Pprof] and [OTLP].
func WriteTree(w io.Writer, format string, t *tree.Tree, about render.About) error {
	switch format {
	case Folded:
		return WriteFolded(w, t)
	case Speedscope:
		return writeSpeedscope(w, t, about.Title)
	case CSV:
		return WriteCSV(w, t.Unit, t.Top(true))
	case SVG:
		return render.SVG(w, t, about)
	case HTML:
		return render.HTML(w, t, about)
	}
	return fmt.Errorf("functions cannot be written as %s", format)
}

// WritePprof writes a profile, as the bytes of pprof, in any format.
func WritePprof(w io.Writer, format string, data []byte, typ string, about render.About) error {
	if format == Pprof {
		_, err := w.Write(data)
		return err
	}
	p, err := parsePprof(data)
	if err != nil {
		return err
	}
	return WriteProfile(w, format, p, typ, about)
}

// Empty reports whether a profile of pprof has no samples.
func Empty(data []byte) (bool, error) {
	p, err := parsePprof(data)
	return err == nil && len(p.Sample) == 0, err
}

// WriteProfile is WritePprof for a profile that was read.
func WriteProfile(w io.Writer, format string, p *profile.Profile, typ string, about render.About) error {
	switch format {
	case Pprof:
		return p.Write(w)
	case OTLP:
		req, err := otlppprof.FromPprof(p, otlppprof.Options{})
		if err != nil {
			return err
		}
		out, err := proto.Marshal(req)
		if err != nil {
			return err
		}
		_, err = w.Write(out)
		return err
	}
	t, err := FromPprof(p, typeFor(format, p, typ))
	if err != nil {
		return err
	}
	return WriteTree(w, format, t, about)
}

// typeFor is the type of samples that a format holds if none was asked for: folded
// stacks, which have no unit, are for programs that count samples.
func typeFor(format string, p *profile.Profile, typ string) string {
	if format == Folded && typ == "" && slices.ContainsFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "samples" && t.Unit == "count" }) {
		return "samples"
	}
	return typ
}

// Convert writes what is in a file of any known format in another.
func Convert(w io.Writer, format string, data []byte, typ string, about render.About) error {
	data, err := Unpack(data)
	if err != nil {
		return err
	}
	var p *profile.Profile
	switch Detect(data) {
	case Pprof:
		p, err = parsePprof(data)
	case OTLP:
		p, err = otlpToPprof(data, typ)
	default:
		t, err := Read(data, typ)
		if err != nil {
			return err
		}
		if format != Pprof && format != OTLP {
			return WriteTree(w, format, t, about)
		}
		p = toPprof(t)
	}
	if err != nil {
		return err
	}
	return WriteProfile(w, format, p, typ, about)
}

// toPprof returns a tree as a profile.
func toPprof(t *tree.Tree) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: t.Type, Unit: t.Unit}}}
	index := map[tree.Frame]*profile.Location{}
	t.Paths(func(path []*tree.Node) {
		s := &profile.Sample{Value: []int64{path[len(path)-1].Self}}
		for _, n := range slices.Backward(path[1:]) {
			l := index[n.Frame]
			if l == nil {
				f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: n.Name, Filename: n.File, StartLine: n.Line}
				l = &profile.Location{ID: f.ID, Line: []profile.Line{{Function: f}}}
				p.Function, p.Location = append(p.Function, f), append(p.Location, l)
				index[n.Frame] = l
			}
			s.Location = append(s.Location, l)
		}
		p.Sample = append(p.Sample, s)
	})
	return p
}

// WriteFolded writes stacks with their values, sorted.
func WriteFolded(w io.Writer, t *tree.Tree) error {
	var lines []string
	t.Paths(func(path []*tree.Node) {
		names := make([]string, len(path)-1)
		for i, n := range path[1:] {
			names[i] = strings.NewReplacer(";", ":", "\n", " ", "\r", " ").Replace(n.Name)
			if n.Kind == "kernel" {
				names[i] += "_[k]"
			}
		}
		lines = append(lines, strings.Join(names, ";")+" "+strconv.FormatInt(path[len(path)-1].Self, 10)+"\n")
	})
	slices.Sort(lines)
	_, err := io.WriteString(w, strings.Join(lines, ""))
	return err
}

// WriteCSV writes a table of functions. Values are in the unit that the head names.
func WriteCSV(w io.Writer, unit string, rows []client.Function) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"function", "file", "binary", "kind", "self_" + unit, "total_" + unit}) // Flush tells
	for _, r := range rows {
		_ = c.Write([]string{ // Flush tells
			formula(r.Name), formula(r.File), formula(r.Binary), r.Kind, strconv.FormatInt(r.Self, 10), strconv.FormatInt(r.Total, 10),
		})
	}
	c.Flush()
	return c.Error()
}

// formula keeps a name from being one when a spreadsheet opens the file.
func formula(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// Half is a part of a profile of pprof.
type Half struct {
	Samples int
	Data    []byte
}

// Halve cuts a profile of pprof into two with half of the samples each. Each says
// when it was taken as the whole does.
func Halve(data []byte) ([]Half, error) {
	p, err := parsePprof(data)
	if err != nil {
		return nil, err
	}
	all := p.Sample
	var out []Half
	for _, part := range [][]*profile.Sample{all[:len(all)/2], all[len(all)/2:]} {
		if len(part) == 0 {
			continue
		}
		p.Sample = part
		var b bytes.Buffer
		if err := p.Compact().Write(&b); err != nil {
			return nil, err
		}
		out = append(out, Half{len(part), b.Bytes()})
	}
	return out, nil
}
