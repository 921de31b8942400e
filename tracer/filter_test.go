// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

func TestMatchExecutable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		glob, path string
		want       bool
	}{
		{"nginx", "/usr/sbin/nginx", true},
		{"ngin?", "/usr/sbin/nginx", true},
		{"nginx", "/usr/sbin/nginx-debug", false},
		{"/usr/sbin/*", "/usr/sbin/nginx", true},
		{"/usr/*", "/usr/sbin/nginx", false},
		{"python3.*", "/usr/bin/python3.11", true},
	} {
		if got := matchExecutable([]string{"nothing", c.glob}, c.path); got != c.want {
			t.Errorf("matchExecutable(%q, %q) = %v", c.glob, c.path, got)
		}
	}
}

func TestMatchCgroup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		glob, path string
		want       bool
	}{
		{"/system.slice/*", "/system.slice/ssh.service", true},
		{"/system.slice/*", "/system.slice/docker/abc", false},
		{"/system.slice/**", "/system.slice/docker/abc", true},
		{"/system.slice/**", "/system.slice", true},
		{"/kubepods*/**", "/kubepods.slice/pod1/c1", true},
		{"/kubepods*/**", "/system.slice", false},
	} {
		if got := matchCgroup([]string{c.glob}, c.path); got != c.want {
			t.Errorf("matchCgroup(%q, %q) = %v", c.glob, c.path, got)
		}
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		f    Filter
		want uint32
	}{
		"nothing":        {Filter{}, 0},
		"include a PID":  {Filter{IncludePIDs: []libpf.PID{1}}, wantFilters | wantIncludes},
		"exclude a PID":  {Filter{ExcludePIDs: []libpf.PID{1}}, wantFilters},
		"children":       {Filter{IncludePIDs: []libpf.PID{1}, FollowChildren: true}, wantFilters | wantIncludes | wantChildren},
		"executables":    {Filter{ExcludeExecutables: []string{"x"}}, wantFilters | wantExecutables},
		"include cgroup": {Filter{IncludeCgroups: []string{"/x"}}, wantFilters | wantIncludes | wantCgroups},
	} {
		if got := c.f.wanted(); got != c.want {
			t.Errorf("%s: wanted() = %b, want %b", name, got, c.want)
		}
	}
}

func TestFilterValidate(t *testing.T) {
	t.Parallel()
	bad := Filter{IncludeExecutables: []string{"["}, ExcludeCgroups: []string{"/a/["}}
	if err := bad.validate(); err == nil {
		t.Error("broken globs are accepted")
	}
}

func TestParseCPUs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]int{"0": {0}, "0-3": {0, 1, 2, 3}, "0,2-3,7": {0, 2, 3, 7}} {
		got, err := parseCPUs(in)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("parseCPUs(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "3-1", "0-99999999", "-1"} {
		if got, err := parseCPUs(in); err == nil {
			t.Errorf("parseCPUs(%q) = %v without an error", in, got)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{
		"rate too high":    {SamplesPerSecond: 1001},
		"rate negative":    {SamplesPerSecond: -1},
		"budget too small": {UnwindTableBytes: 1000},
		"budget too large": {UnwindTableBytes: 2 << 30},
	} {
		if _, err := c.withDefaults(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	d, err := (&Config{}).withDefaults()
	if err != nil || d.SamplesPerSecond != 20 || d.UnwindTableBytes != DefaultUnwindTableBytes {
		t.Errorf("defaults are %+v, %v", d, err)
	}
}
