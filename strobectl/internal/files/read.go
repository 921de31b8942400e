// SPDX-License-Identifier: Apache-2.0

// Package files reads and writes profiles in the formats that other programs use.
package files

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/proto/otlpcheck"
	"github.com/strobe-profiler/strobe/proto/otlppprof"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// The formats.
const (
	Pprof      = "pprof"
	Folded     = "folded"
	Speedscope = "speedscope"
	OTLP       = "otlp"
	CSV        = "csv"
	SVG        = "svg"
	HTML       = "html"
)

// Formats lists what is written.
var Formats = []string{Pprof, Folded, Speedscope, OTLP, CSV, SVG, HTML}

// extensions lists how names of files end, the first that fits counts.
var extensions = []struct{ suffix, format string }{
	{".pb.gz", Pprof}, {".pprof", Pprof}, {".pb", Pprof}, {".prof", Pprof},
	{".folded", Folded}, {".collapsed", Folded}, {".txt", Folded},
	{".speedscope.json", Speedscope}, {".speedscope", Speedscope},
	{".otlp", OTLP}, {".csv", CSV}, {".svg", SVG}, {".html", HTML}, {".htm", HTML},
}

// ByName returns the format that the name of a file asks for, "" for none.
func ByName(name string) string {
	if slices.Contains(Formats, name) {
		return name
	}
	for _, e := range extensions {
		if strings.HasSuffix(strings.ToLower(name), e.suffix) {
			return e.format
		}
	}
	return ""
}

// maxBytes bounds a profile when it is decompressed, and maxMemory about what is made of it.
const (
	maxBytes  = 512 << 20
	maxMemory = 2 << 30
)

// Detect returns the format of what is in a file, which may be compressed if it is
// pprof or OTLP.
func Detect(data []byte) string {
	trimmed := bytes.TrimLeft(data, " \t\r\n\ufeff")
	switch {
	case len(trimmed) == 0:
		return ""
	case trimmed[0] == '{':
		if bytes.Contains(trimmed[:min(len(trimmed), 4096)], []byte("speedscope")) || bytes.Contains(trimmed, []byte(`"shared"`)) {
			return Speedscope
		}
		return OTLP
	case looksFolded(trimmed):
		return Folded
	}
	if _, err := parsePprof(data); err == nil {
		return Pprof
	}
	return OTLP
}

// Unpack returns what is in a file that may be gzipped.
func Unpack(data []byte) ([]byte, error) {
	if len(data) < 2 || data[0] != 0x1f || data[1] != 0x8b {
		return data, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(out) > maxBytes {
		return nil, fmt.Errorf("larger than %d MiB when it is decompressed", maxBytes>>20)
	}
	return out, nil
}

// looksFolded reports whether the first line is of text and ends in a number.
func looksFolded(data []byte) bool {
	line, _, _ := bytes.Cut(data[:min(len(data), 64<<10)], []byte{'\n'})
	if !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0 {
		return false
	}
	_, _, ok := foldedLine(string(line))
	return ok
}

func parsePprof(data []byte) (*profile.Profile, error) {
	memory := int64(0)
	return otlppprof.Parse(data, otlppprof.Limits{MaxBytes: maxBytes, Charge: func(n int64) error {
		if memory += n; memory > maxMemory {
			return fmt.Errorf("the profile would take more than %d MiB of memory", maxMemory>>20)
		}
		return nil
	}})
}

// Read reads a profile of any format that is known. typ is the type of samples where
// a file has several, "" for the one that it says is usual, else its last.
func Read(data []byte, typ string) (*tree.Tree, error) {
	data, err := Unpack(data)
	if err != nil {
		return nil, err
	}
	switch Detect(data) {
	case Folded:
		return readFolded(data)
	case Speedscope:
		return readSpeedscope(data)
	case Pprof:
		p, err := parsePprof(data)
		if err != nil {
			return nil, err
		}
		return FromPprof(p, typ)
	case OTLP:
		return readOTLP(data, typ)
	}
	return nil, errors.New("the file is empty")
}

// readOTLP reads a message of profiles.
func readOTLP(data []byte, typ string) (*tree.Tree, error) {
	p, err := otlpToPprof(data, typ)
	if err != nil {
		return nil, err
	}
	return FromPprof(p, typ)
}

func otlpToPprof(data []byte, typ string) (*profile.Profile, error) {
	req, err := otlpcheck.Decode(data, otlpcheck.Limits{MaxBytes: maxBytes})
	if err != nil {
		return nil, fmt.Errorf("neither pprof, folded stacks, speedscope nor OTLP: %w", err)
	}
	list, err := otlppprof.ToPprof(req, 0)
	if err != nil {
		return nil, err
	}
	var found []*profile.Profile
	for _, c := range list {
		if len(c.Profile.Sample) == 0 {
			continue
		}
		if typ == "" && len(found) > 0 && found[0].SampleType[0].Type != c.Profile.SampleType[0].Type {
			continue // of another kind: -type chooses
		}
		if typ == "" || slices.ContainsFunc(c.Profile.SampleType, func(t *profile.ValueType) bool { return t.Type == typ }) {
			found = append(found, c.Profile)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("the message has no samples" + ofType(typ))
	}
	return profile.Merge(found)
}

func ofType(typ string) string {
	if typ == "" {
		return ""
	}
	return fmt.Sprintf(" of the type %q (-type)", typ)
}

// valueIndex finds a type of samples.
func valueIndex(p *profile.Profile, typ string) (int, error) {
	if len(p.SampleType) == 0 {
		return 0, errors.New("the profile has no types of samples")
	}
	names := make([]string, len(p.SampleType))
	for i, t := range p.SampleType {
		if names[i] = t.Type; t.Type == typ {
			return i, nil
		}
	}
	if typ != "" {
		return 0, fmt.Errorf("-type: the profile has %s, not %q", strings.Join(names, ", "), typ)
	}
	for i, name := range names {
		if name == p.DefaultSampleType {
			return i, nil
		}
	}
	return len(names) - 1, nil
}

// FromPprof returns the tree of a type of samples of a profile.
func FromPprof(p *profile.Profile, typ string) (*tree.Tree, error) {
	index, err := valueIndex(p, typ)
	if err != nil {
		return nil, err
	}
	t := tree.New(p.SampleType[index].Type, p.SampleType[index].Unit)
	var stack []tree.Frame
	for _, s := range p.Sample {
		stack = stack[:0]
		for _, l := range slices.Backward(s.Location) {
			stack = appendLocation(stack, l)
		}
		t.Add(stack, s.Value[index])
	}
	return t, nil
}

// appendLocation adds the functions of a location, callers first.
func appendLocation(stack []tree.Frame, l *profile.Location) []tree.Frame {
	binary := ""
	if l.Mapping != nil {
		binary = path.Base(l.Mapping.File)
		if l.Mapping.File == "" {
			binary = ""
		}
	}
	if len(l.Line) == 0 {
		name := "0x" + strconv.FormatUint(l.Address, 16)
		if binary != "" {
			name = binary + "+" + name
		}
		return append(stack, tree.Frame{Name: name, Binary: binary, Kind: kindOf(binary, "")})
	}
	for i, line := range slices.Backward(l.Line) {
		f := tree.Frame{Binary: binary, Inlined: i < len(l.Line)-1}
		if line.Function != nil {
			f.Name, f.File, f.Line = line.Function.Name, line.Function.Filename, line.Function.StartLine
		}
		if f.Name == "" {
			f.Name = "0x" + strconv.FormatUint(l.Address, 16)
		}
		f.Kind = kindOf(binary, f.File)
		stack = append(stack, f)
	}
	return stack
}

// kindOf guesses the kind of code, which pprof does not say, for its colour.
func kindOf(binary, file string) string {
	if strings.Contains(binary, "[kernel") || strings.HasPrefix(binary, "vmlinux") || strings.HasSuffix(binary, ".ko") {
		return "kernel"
	}
	switch path.Ext(file) {
	case ".go", ".s":
		return "go"
	case ".py":
		return "python"
	case ".java", ".kt", ".scala":
		return "jvm"
	case ".js", ".ts", ".mjs":
		return "v8"
	case ".rb":
		return "ruby"
	case ".php":
		return "php"
	case ".cs":
		return "dotnet"
	}
	return "native"
}

// foldedLine reads a stack and its value.
func foldedLine(line string) (stack string, value int64, ok bool) {
	line = strings.TrimSpace(line)
	i := strings.LastIndexAny(line, " \t")
	if i <= 0 {
		return "", 0, false
	}
	value, err := strconv.ParseInt(line[i+1:], 10, 64)
	return strings.TrimSpace(line[:i]), value, err == nil && value >= 0
}

func readFolded(data []byte) (*tree.Tree, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("larger than %d MiB", maxBytes>>20)
	}
	t := tree.New("samples", "count")
	n := 0
	var frames []tree.Frame
	for line := range strings.Lines(string(data)) {
		n++
		if strings.TrimSpace(line) == "" {
			continue
		}
		stack, value, ok := foldedLine(line)
		if !ok {
			return nil, fmt.Errorf("line %d is no stack and a number, as a;b;c 12", n)
		}
		frames = frames[:0]
		for name := range strings.SplitSeq(stack, ";") {
			f := tree.Frame{Name: name, Kind: "native"}
			if base, ok := strings.CutSuffix(name, "_[k]"); ok {
				f.Name, f.Kind = base, "kernel"
			}
			frames = append(frames, f)
		}
		if value > maxTotal-t.Root.Total {
			return nil, fmt.Errorf("line %d: the numbers are too large to be summed", n)
		}
		t.Add(frames, value)
	}
	return t, nil
}

const maxTotal = 1<<63 - 1
