// SPDX-License-Identifier: Apache-2.0

package record

import (
	"errors"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/internal/record"
	"github.com/strobe-profiler/strobe/libpf"
)

// Options makes the tables short.
type Options = record.Options

const (
	Folded = record.Folded
	Pprof  = record.Pprof
)

// options returns valid options with changes.
func options(change func(*Options)) *Options {
	o := &Options{
		All: true, SamplesPerSecond: 99, Format: Folded, Output: "strobe.folded",
		UnwindTableBytes: 64 << 20, MemoryLimit: 256 << 20,
	}
	change(o)
	return o
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want *Options
	}{
		"all": {[]string{"-a"}, options(func(*Options) {})},
		"judge": {
			[]string{"-p", "7", "-d", "10.0s", "-F", "49", "-format", "folded", "-o", "/tmp/x.folded"},
			options(func(o *Options) {
				o.All, o.PIDs, o.Duration, o.SamplesPerSecond, o.Output = false, []libpf.PID{7}, 10*time.Second, 49, "/tmp/x.folded"
			}),
		},
		"seconds":     {[]string{"-a", "-d", "10"}, options(func(o *Options) { o.Duration = 10 * time.Second })},
		"two dashes":  {[]string{"--a", "--d=1m30s"}, options(func(o *Options) { o.Duration = 90 * time.Second })},
		"several":     {[]string{"-p", "1,2", "-p", "3"}, options(func(o *Options) { o.All, o.PIDs = false, []libpf.PID{1, 2, 3} })},
		"command":     {[]string{"-d", "5", "--", "ls", "-l"}, options(func(o *Options) { o.All, o.Command, o.Duration = false, []string{"ls", "-l"}, 5*time.Second })},
		"pprof":       {[]string{"-a", "-format", "pprof"}, options(func(o *Options) { o.Format, o.Output = Pprof, "strobe.pb.gz" })},
		"pprof by -o": {[]string{"-a", "-o", "a.pb.gz"}, options(func(o *Options) { o.Format, o.Output = Pprof, "a.pb.gz" })},
		"folded":      {[]string{"-a", "-o", "a.pb.gz", "-format", "folded"}, options(func(o *Options) { o.Output = "a.pb.gz" })},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(test.args)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"say what to profile":         {},
		"one of: -p PID, -a":          {"-a", "-p", "1"},
		"-F: is 0, must be 1 to 1000": {"-a", "-F", "0"},
		"-F: is 1001":                 {"-a", "-F", "1001"},
		`-format: is "svg"`:           {"-a", "-format", "svg"},
		"is not a duration":           {"-a", "-d", "soon"},
		"must be more than nothing":   {"-a", "-d", "0"},
		"not the ID of a process":     {"-p", "-1"},
		"unknown flag -frequency":     {"-a", "-frequency", "1"},
		"-memory-limit":               {"-a", "-memory-limit", "1M"},
	} {
		if _, err := Parse(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not say %q", args, err, want)
		}
	}
	if _, err := Parse([]string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}
