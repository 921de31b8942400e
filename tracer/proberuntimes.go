// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/all"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// ProbeRuntimes looks at all processes of the host and says which interpreters
// and compilers at run time they use, and whether their frames can be shown. It
// reads every executable that is mapped, once: some 100 ms on a busy host.
func ProbeRuntimes() []Capability {
	p := runtimeProbe{runtimes: all.Runtimes(), files: map[fileIdentity]*detected{}, found: map[runtimeVersion]*runtimeFinding{}}
	pids, err := process.All()
	if err != nil {
		return []Capability{{Name: "runtimes", Detail: err.Error(), Effect: "what processes run on is not known", Fix: "mount /proc"}}
	}
	for _, pid := range pids {
		p.look(pid)
	}
	return p.capabilities()
}

// fileIdentity is what makes a file the same file.
type fileIdentity struct {
	major, minor uint32
	inode        uint64
}

type runtimeVersion struct{ runtime, version, reason string }

type runtimeFinding struct {
	runtime   interpreter.Runtime
	processes int
}

type runtimeProbe struct {
	runtimes []interpreter.Runtime
	files    map[fileIdentity]*detected
	found    map[runtimeVersion]*runtimeFinding
}

func (p *runtimeProbe) look(pid libpf.PID) {
	maps, err := process.Mappings(pid)
	if err != nil && !errors.Is(err, process.ErrTruncated) {
		return // it is gone
	}
	counted := map[runtimeVersion]bool{}
	for i := range maps {
		m := &maps[i]
		if !m.IsFile() {
			continue
		}
		d := p.detect(pid, m)
		if d == nil {
			continue
		}
		v := runtimeVersion{runtime: d.runtime.Name()}
		if d.binary != nil {
			v.version = d.binary.Version()
		}
		if unsupported, ok := errors.AsType[*interpreter.UnsupportedError](d.err); ok {
			v.version, v.reason = unsupported.Version, unsupported.Reason
		}
		if counted[v] {
			continue
		}
		counted[v] = true
		if p.found[v] == nil {
			p.found[v] = &runtimeFinding{runtime: d.runtime}
		}
		p.found[v].processes++
	}
}

func (p *runtimeProbe) detect(pid libpf.PID, m *process.Mapping) *detected {
	id := fileIdentity{m.Major, m.Minor, m.Inode}
	if d, ok := p.files[id]; ok {
		return d
	}
	p.files[id] = nil
	open := func() (*pfelf.File, error) {
		f, err := pfelf.Open(process.MapFile(pid, m.Start, m.End))
		if isRefusal(err) && !m.Deleted {
			f, err = pfelf.OpenInRoot(rootOf(pid), m.Path)
		}
		return f, err
	}
	f, err := open()
	if err != nil {
		return nil
	}
	fileID, err := f.FileID()
	f.Close() //nolint:errcheck // read only
	if err != nil {
		return nil
	}
	e := &interpreter.Executable{Path: m.Path, FileID: fileID, Open: open}
	p.files[id] = p.recognise(e)
	return p.files[id]
}

// recognise asks the runtimes whose a file is, nil for none. One that panics is believed
// to be the one when no other is: the rest of the answer is worth knowing.
func (p *runtimeProbe) recognise(e *interpreter.Executable) (d *detected) {
	for _, r := range p.runtimes {
		b, err := guardedDetect(r, e)
		var unsupported *interpreter.UnsupportedError
		switch {
		case b != nil || errors.As(err, &unsupported):
			return &detected{runtime: r, binary: b, err: err}
		case errors.Is(err, errPanic) && d == nil:
			d = &detected{runtime: r, err: &interpreter.UnsupportedError{Runtime: r.Name(), Version: "unknown", Reason: err.Error() + ", please report it"}}
		}
	}
	return d
}

func guardedDetect(r interpreter.Runtime, e *interpreter.Executable) (b interpreter.Binary, err error) {
	defer func() {
		if recover() != nil {
			b, err = nil, errPanic
		}
	}()
	return r.Detect(e)
}

func (p *runtimeProbe) capabilities() []Capability {
	var out []Capability
	for v, x := range p.found {
		c := Capability{
			Name: fmt.Sprintf("%s %s", v.runtime, v.version), OK: v.reason == "",
			Detail: fmt.Sprintf("%d processes", x.processes),
		}
		if x.processes == 1 {
			c.Detail = "1 process"
		}
		if !c.OK {
			c.Detail += ": " + v.reason
			c.Effect = "its functions are missing from profiles; native frames and a frame that says so are shown"
			if (&detected{runtime: x.runtime}).noFrames() {
				c.Effect = "labels that the program sets are missing from profiles"
			}
			c.Fix = "see docs/runtimes.md for the versions that are supported"
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Capability) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
