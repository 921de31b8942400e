// SPDX-License-Identifier: Apache-2.0

// Package buildinfo says what a binary was built from: -version of every program
// and the metrics strobe_*_build_info say the same.
package buildinfo

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// The linker sets these, see the Makefile. What it does not set is taken from what
// the Go command knows about the sources, if it was asked to write that down.
var (
	version string // "1.2.3", or "1.2.3-dev.456.g0123abc" between releases
	commit  string // in full, with "-dirty" behind it if the sources were changed
	date    string // of the commit, RFC 3339 in UTC
)

// Formats of [Info.Write].
const (
	Text = "text"
	JSON = "json"
)

const unknown = "unknown"

// Object is a compiled eBPF object that is embedded in the binary.
type Object struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // in hexadecimal
}

// NewObject describes an object by its content.
func NewObject(name string, content []byte) Object {
	sum := sha256.Sum256(content)
	return Object{Name: name, SHA256: hex.EncodeToString(sum[:])}
}

// Info describes a binary. What is not known is "unknown".
type Info struct {
	Program string `json:"program"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	// EBPF is one hash of all objects, "" in a program without any: two agents with
	// the same one run the same code in the kernel.
	EBPF    string   `json:"ebpf_sha256,omitempty"`
	Objects []Object `json:"ebpf_objects,omitempty"`
}

// Read describes the running program, whose eBPF objects are objects.
func Read(program string, objects ...Object) Info {
	i := Info{
		Program: program, Version: version, Commit: commit, Date: date,
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		EBPF: digest(objects), Objects: objects,
	}
	i.fill(debug.ReadBuildInfo())
	return i
}

// Version returns the version alone.
func Version() string { return Read("").Version }

// fill takes what the linker did not set from the Go command's data.
func (i *Info) fill(info *debug.BuildInfo, ok bool) {
	revision, modified, time, main := "", false, "", ""
	if ok {
		main = strings.TrimPrefix(info.Main.Version, "(devel)")
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = s.Value
			case "vcs.time":
				time = s.Value
			case "vcs.modified":
				modified = s.Value == "true"
			}
		}
	}
	if revision != "" && modified {
		revision += "-dirty"
	}
	i.Version = cmp.Or(i.Version, main, unknown)
	i.Commit = cmp.Or(i.Commit, revision, unknown)
	i.Date = cmp.Or(i.Date, time, unknown)
}

// digest is the hash of the list of objects as sha256sum prints it, sorted by name.
func digest(objects []Object) string {
	if len(objects) == 0 {
		return ""
	}
	sorted := slices.SortedFunc(slices.Values(objects), func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, o := range sorted {
		fmt.Fprintf(h, "%s  %s\n", o.SHA256, o.Name) //nolint:errcheck // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// shortHash is enough of a hash to tell two apart.
const shortHash = 12

// String is one line, with hashes cut short.
func (i Info) String() string {
	short, dirty := i.Commit, ""
	if hash, ok := strings.CutSuffix(short, "-dirty"); ok {
		short, dirty = hash, "-dirty"
	}
	text := fmt.Sprintf("%s %s (commit %s%s, %s, %s, %s/%s", i.Program, i.Version,
		short[:min(shortHash, len(short))], dirty, i.Date, i.Go, i.OS, i.Arch)
	if i.EBPF != "" {
		text += ", eBPF " + i.EBPF[:shortHash]
	}
	return text + ")"
}

// CheckFormat returns an error that names the flag -o unless format is one of [Info.Write].
func CheckFormat(format string) error {
	if format != Text && format != JSON {
		return fmt.Errorf("-o: is %q, must be text or json", format)
	}
	return nil
}

// Write writes a line of text, or everything as JSON.
func (i Info) Write(w io.Writer, format string) error {
	if format == JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(i)
	}
	_, err := fmt.Fprintln(w, i)
	return err
}

// Labels are those of the metric build_info.
func (i Info) Labels() map[string]string {
	labels := map[string]string{"version": i.Version, "revision": i.Commit, "goversion": i.Go, "goarch": i.Arch}
	if i.EBPF != "" {
		labels["ebpf"] = i.EBPF[:shortHash]
	}
	return labels
}
