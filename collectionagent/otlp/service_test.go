// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"testing"

	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// TestServices names samples by what is known when there is no service.
func TestServices(t *testing.T) {
	t.Parallel()
	for want, attributes := range map[string]map[string]string{
		"cart":    {"service.name": "cart", "process.executable.name": "x"},
		"x":       {"service.name": "unknown_service", "process.executable.name": "x", "host.name": "h"},
		"y":       {"service.name": "unknown_service:y", "host.name": "h"},
		"java":    {"service.name": "unknown_service:y", "process.executable.path": "/usr/bin/java"},
		"h":       {"service.name": "unknown_service:", "host.name": "h"},
		"unnamed": {},
		// A service may be called so.
		"unknown_services": {"service.name": "unknown_services"},
	} {
		b := newBuild()
		b.profile("samples", "count", 10, attributes, &profiles.Sample{Values: []int64{1}})
		in, err := decode(t, b.r, testOptions(1000))
		if err != nil || in.Batch.Series[0].Service != want {
			t.Errorf("%v: %v, want %s", attributes, in.Batch.Series, want)
		}
	}
}

// TestServiceOfProgram names what was a file of pprof, in which the first file is the program.
func TestServiceOfProgram(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"/usr/bin/server": "server", "/lib/libc.so.6": "alpha", "[vdso]": "alpha", "[kernel.kallsyms]": "alpha", "": "alpha",
	} {
		b := newBuild()
		b.mapping(file)
		b.profile("samples", "count", 10, map[string]string{"host.name": "alpha"}, &profiles.Sample{Values: []int64{1}})
		in, err := decode(t, b.r, testOptions(1000))
		if err != nil || in.Batch.Series[0].Service != want {
			t.Errorf("%q: %v, want %s", file, in.Batch.Series, want)
		}
		// Of more than one process nobody knows whose file it is.
		b.profile("samples", "count", 10, nil, &profiles.Sample{Values: []int64{1}})
		if in, err = decode(t, b.r, testOptions(1000)); err != nil || in.Batch.Series[0].Service != "alpha" || in.Batch.Series[1].Service != "unnamed" {
			t.Errorf("%q: %v", file, in.Batch.Series)
		}
	}
}

// TestBuildIDOnly keeps files of which only the build ID is known.
func TestBuildIDOnly(t *testing.T) {
	t.Parallel()
	b := newBuild()
	l := b.location(&profiles.Location{MappingIndex: b.mapping("", b.attribute(otlpkey.BuildIDGNU, "ABCD")), Address: 5})
	b.profile("samples", "count", 10, nil, &profiles.Sample{Values: []int64{1}, StackIndex: b.stack(l)})
	in, err := decode(t, b.r, testOptions(1000))
	if err != nil {
		t.Fatal(err)
	}
	d := definitions(t, in, nil)
	file := libpf.FileIDFromBuildID("abcd")
	if len(d.Executables) != 1 || d.Executables[0] != (libpf.Executable{FileID: file, BuildID: "abcd"}) ||
		d.Stacks[0].Frames[0].FileID != file || d.Stacks[0].Frames[0].AddressOrLineno != 5 {
		t.Errorf("%+v", d)
	}
}
