// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlppprof"
	"github.com/strobe-profiler/strobe/support/golden"
)

// testProfile is a profile of two functions.
func testProfile() *profile.Profile {
	m := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x2000, File: "/bin/shop", BuildID: "0a1b2c"}
	work := &profile.Function{ID: 1, Name: "main.work", Filename: "main.go"}
	main := &profile.Function{ID: 2, Name: "main.main", Filename: "main.go"}
	leaf := &profile.Location{ID: 1, Mapping: m, Address: 0x1010, Line: []profile.Line{{Function: work, Line: 10}}}
	root := &profile.Location{ID: 2, Mapping: m, Address: 0x1020, Line: []profile.Line{{Function: main, Line: 20}}}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_000_000, TimeNanos: 1_700_000_000_000_000_000,
		Sample: []*profile.Sample{
			{Location: []*profile.Location{leaf, root}, Value: []int64{3, 30_000_000}, Label: map[string][]string{"route": {"/cart"}}},
			{Location: []*profile.Location{root}, Value: []int64{1, 10_000_000}},
		},
		Mapping: []*profile.Mapping{m}, Location: []*profile.Location{leaf, root}, Function: []*profile.Function{work, main},
	}
}

// testFiles writes what the commands of tests read.
func testFiles(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	write := func(name string, data []byte, err error) {
		t.Helper()
		if err == nil {
			err = os.WriteFile(name, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	err := testProfile().Write(&b)
	write("cpu.pb.gz", b.Bytes(), err)
	good, err := otlppprof.FromPprof(testProfile(), otlppprof.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(good)
	write("good.otlp", data, err)
	write("torn.otlp", data[:len(data)-5], nil)
	write("good.json", []byte(protojson.Format(good)), nil)

	write("empty.otlp", nil, nil)

	broken := proto.CloneOf(good)
	broken.Dictionary.StringTable = append(broken.Dictionary.StringTable, "<unused>", "<unused>", "<unused>", "<unused>")
	p := broken.ResourceProfiles[0].ScopeProfiles[0].Profiles[0]
	p.Samples[0].StackIndex = 99
	p.Samples[1].Values = nil
	data, err = proto.Marshal(broken)
	write("broken.otlp", data, err)

	two := proto.CloneOf(good)
	two.ResourceProfiles = append(two.ResourceProfiles, proto.CloneOf(two.ResourceProfiles[0]))
	d := two.Dictionary
	d.StringTable = append(d.StringTable, "off_cpu")
	offCPU := &profiles.ValueType{TypeStrindex: int32(len(d.StringTable) - 1), UnitStrindex: p.SampleType.UnitStrindex}
	two.ResourceProfiles[1].ScopeProfiles[0].Profiles = append(two.ResourceProfiles[1].ScopeProfiles[0].Profiles, &profiles.Profile{
		SampleType: offCPU, TimeUnixNano: 5, Samples: []*profiles.Sample{{StackIndex: 1, Values: []int64{7}}},
	})
	data, err = proto.Marshal(two)
	write("two.otlp", data, err)
}

// script runs commands, one in a line, and returns what they print.
func script(t *testing.T, commands string) string {
	t.Helper()
	var all strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(commands), "\n") {
		line = strings.TrimSpace(line)
		all.WriteString("$ " + line + "\n")
		command, from, _ := strings.Cut(line, " < ")
		var stdin bytes.Buffer
		if from != "" {
			data, err := os.ReadFile(from) //nolint:gosec // of the test
			if err != nil {
				t.Fatal(err)
			}
			stdin.Write(data)
		}
		var stdout, stderr bytes.Buffer
		status := run(strings.Fields(command)[1:], &stdin, &stdout, &stderr)
		all.Write(stdout.Bytes())
		all.Write(stderr.Bytes())
		if stdout.Len() > 0 && stderr.Len() > 0 && !strings.Contains(line, "missing") {
			t.Errorf("%s: writes %q and %q", line, stdout.String(), stderr.String())
		}
		if status != exitOK {
			all.WriteString("status " + string(rune('0'+status)) + "\n")
		}
		all.WriteString("\n")
	}
	return all.String()
}

// TestCommands compares what commands print with golden files.
func TestCommands(t *testing.T) {
	for name, commands := range map[string]string{
		"help": `
			strobectl --help
			strobectl help version
			strobectl help nothing
			strobectl
			strobectl top -h
			strobectl flamegraph -h
			strobectl diff -h
			strobectl callers -h
			strobectl lines -h
			strobectl timeline -h
			strobectl watch -h
			strobectl watch top -h
			strobectl labels -h
			strobectl types -h
			strobectl hosts -h
			strobectl executables -h
			strobectl events -h
			strobectl status -h
			strobectl export -h
			strobectl import -h
			strobectl record -h
			strobectl completion -h
			strobectl otlp -h
			strobectl otlp check --help
			strobectl otlp convert -help
			strobectl otlp rules -h
			strobectl version -h`,
		"check": `
			strobectl otlp check good.otlp good.json
			strobectl otlp check - < good.otlp
			strobectl otlp check good.otlp broken.otlp
			strobectl otlp check broken.otlp -per-rule 1
			strobectl otlp check -severity error broken.otlp
			strobectl otlp check -o json -severity error -per-rule 1 broken.otlp good.otlp
			strobectl otlp check torn.otlp
			strobectl otlp check -max-bytes 20 good.otlp`,
		"misuse": `
			strobectl otlp
			strobectl tpo
			strobectl otlp verify
			strobectl otlp check
			strobectl otlp check none.otlp good.otlp missing.otlp
			strobectl otlp check -o json missing.otlp
			strobectl otlp check -o yaml good.otlp
			strobectl otlp check -severity bad good.otlp
			strobectl otlp check -per-rule 0 good.otlp
			strobectl otlp check -x good.otlp
			strobectl otlp check -- -x
			strobectl otlp rules all
			strobectl version 1
			strobectl otlp convert cpu.pb.gz
			strobectl otlp convert -to jfr cpu.pb.gz
			strobectl otlp convert -to otlp
			strobectl otlp convert -to otlp good.otlp
			strobectl otlp convert -to pprof torn.otlp
			strobectl otlp convert -to pprof two.otlp
			strobectl otlp convert -to pprof -type wall two.otlp
			strobectl otlp convert -to pprof empty.otlp
			strobectl otlp convert -to pprof -resource a=b two.otlp
			strobectl otlp convert -to otlp -type cpu cpu.pb.gz
			strobectl otlp convert -to otlp -resource a cpu.pb.gz`,
		"rules": `
			strobectl otlp rules`,
	} {
		t.Run(name, func(t *testing.T) {
			path, err := filepath.Abs(filepath.Join("testdata", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			testFiles(t)
			got := script(t, commands)
			golden.Equal(t, path, got)
		})
	}
}

func TestVersion(t *testing.T) {
	for _, command := range []string{"strobectl version", "strobectl -version", "strobectl --version"} {
		if got := script(t, command); !strings.Contains(got, runtime.Version()+", "+runtime.GOOS+"/"+runtime.GOARCH+", eBPF ") {
			t.Error(got)
		}
	}
}

func readProfile(t *testing.T, name string) *profile.Profile {
	t.Helper()
	data, err := os.ReadFile(name) //nolint:gosec // of the test
	if err != nil {
		t.Fatal(err)
	}
	p, err := otlppprof.Parse(data, otlppprof.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// samples returns the samples of a profile as text.
func samples(p *profile.Profile) []string {
	var out []string
	for line := range strings.SplitSeq(p.String(), "\n") {
		if line == "Locations" {
			return out[max(slices.Index(out, "Samples:"), 0):]
		}
		out = append(out, strings.TrimSpace(line))
	}
	return nil
}

func TestConvert(t *testing.T) {
	testFiles(t)
	for _, command := range []string{
		"strobectl otlp convert -to otlp -resource service.name=shop -frame-type go -out one.otlp cpu.pb.gz",
		"strobectl otlp check one.otlp",
		"strobectl otlp convert -to pprof one.otlp -out back.pb.gz",
		"strobectl otlp convert -to pprof -type cpu -out two.pb.gz two.otlp",
		"strobectl otlp convert -to pprof -type off_cpu -out off.pb.gz two.otlp",
	} {
		if got := script(t, command); strings.Contains(got, "\nstatus") {
			t.Fatal(got)
		}
	}
	want := testProfile()
	if d := cmp.Diff(samples(want), samples(readProfile(t, "back.pb.gz"))); d != "" {
		t.Errorf("not what it was (-want +got):\n%s", d)
	}
	// Two resources without attributes: their samples are summed.
	for _, s := range want.Sample {
		s.Value[0] *= 2
		s.Value[1] *= 2
	}
	if d := cmp.Diff(samples(want), samples(readProfile(t, "two.pb.gz"))); d != "" {
		t.Errorf("not the sum (-want +got):\n%s", d)
	}
	if p := readProfile(t, "off.pb.gz"); len(p.Sample) != 1 || p.Sample[0].Value[0] != 7 || p.SampleType[0].Type != "off_cpu" {
		t.Errorf("off CPU: %v", p)
	}
}
