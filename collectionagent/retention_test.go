// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"io"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
	"github.com/strobe-profiler/strobe/libpf"
)

const testDay = 24 * time.Hour

func TestRetentionSettings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want store.Retention
	}{
		"default": {nil, store.Retention{Ages: store.Ages{Samples: 7 * testDay, Minutes: 30 * testDay, Hours: 400 * testDay}}},
		"sums stay as long as samples": {
			[]string{"-retention=60d", "-retention-bytes=100GiB"},
			store.Retention{Ages: store.Ages{Samples: 60 * testDay, Minutes: 60 * testDay, Hours: 400 * testDay}, Bytes: 100 << 30},
		},
		"for ever": {[]string{"-retention=0", "-retention-bytes=0"}, store.Retention{}},
		"rules": {
			[]string{"-retention-rule", "project=shop,type=off_cpu,samples=2d", "-retention-rule=type=off_cpu,samples=90m;project=shop,samples=0"},
			store.Retention{
				Ages: store.Ages{Samples: 7 * testDay, Minutes: 30 * testDay, Hours: 400 * testDay},
				Rules: []store.RetentionRule{
					{Project: "shop", Type: libpf.SampleOffCPU, Ages: store.Ages{Samples: 2 * testDay, Minutes: 30 * testDay, Hours: 400 * testDay}},
					{Type: libpf.SampleOffCPU, Ages: store.Ages{Samples: 90 * time.Minute, Minutes: 30 * testDay, Hours: 400 * testDay}},
					{Project: "shop", Ages: store.Ages{Samples: forEver, Minutes: forEver, Hours: forEver}},
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := load(tc.args, nil, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Validate(); err != nil {
				t.Error(err)
			}
			if d := cmp.Diff(tc.want, c.Retention.engine()); d != "" {
				t.Error(d)
			}
			// What is printed means the same when it is read.
			var printed bytes.Buffer
			if err := printConfig(&printed, c); err != nil {
				t.Fatal(err)
			}
			again, _, err := load([]string{"-config", writeFile(t, "c.yaml", printed.String())}, nil, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.Retention.engine(), again.Retention.engine()); d != "" || again.Retention.Bytes != c.Retention.Bytes {
				t.Error(d)
			}
		})
	}
}

func TestRetentionSettingsErrors(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"-retention=1m":                                    "-retention: is 1m0s, must be 0 or from 10m0s",
		"-retention=soon":                                  `"soon" is not an age`,
		"-retention=-1h":                                   `"-1h" is not an age`,
		"-retention=NaNd":                                  `"NaNd" is not an age`,
		"-retention-hours=200y":                            "-retention-hours: is",
		"-retention-bytes=99%":                             `"99%" is not a percentage`,
		"-retention-bytes=1MiB":                            "-retention-bytes: is 1MiB, must be",
		"-retention-bytes=much":                            "neither a size",
		"-retention-rule=project=shop":                     "no age",
		"-retention-rule=project=,samples=1d":              `"project" has no value`,
		"-retention-rule=samples=1d,samples=2d":            "samples is there twice",
		"-retention-rule=service=web,samples=1d":           `unknown name "service"`,
		"-retention-rule=type=cpu,samples=1d":              "cpu",
		"-retention-rule=project=/,samples=1d":             "-retention-rule: project=/,samples=1d:",
		"-retention-rule=samples=1d;project=shop,minutes=": `"minutes" has no value`,
	} {
		c, _, err := load([]string{arg}, nil, io.Discard)
		if err == nil {
			err = c.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", arg, err, want)
		}
	}
}

func TestRetentionLongest(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]time.Duration{
		"-retention=2h": 2 * time.Hour,
		"-retention=2h -retention-rule=type=off_cpu,samples=3h": 3 * time.Hour,
		"-retention=2h -retention-rule=type=off_cpu,samples=1h": 2 * time.Hour,
		"-retention=0 -retention-rule=type=off_cpu,samples=1h":  0,
	} {
		c, _, err := load(strings.Fields(args), nil, io.Discard)
		if err != nil || c.Retention.longest() != want {
			t.Errorf("%s: %s (error %v), want %s", args, c.Retention.longest(), err, want)
		}
	}
}

// TestRetentionIsDocumented compares the flags and defaults with docs/retention.md.
func TestRetentionIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/retention.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `-([a-z-]+)` \\| (\\S*) \\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = m[2]
	}
	c := Default()
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.Retention.register(fs)
	want := make(map[string]string)
	fs.VisitAll(func(f *flag.Flag) { want[f.Name] = f.DefValue })
	want["retention-rule"] = "none"
	if d := cmp.Diff(want, documented); d != "" {
		t.Errorf("docs/retention.md differs from the flags (-flags +docs):\n%s", d)
	}
}

func FuzzRules(f *testing.F) {
	f.Add("project=shop,type=off_cpu,samples=2d;minutes=1w,hours=1y")
	f.Add("samples=1e9d")
	f.Fuzz(func(t *testing.T, text string) {
		var r, again Rules
		if r.Set(text) != nil {
			return
		}
		if err := again.Set(r.String()); err != nil || again.String() != r.String() {
			t.Errorf("%q becomes %q, which becomes %q (error %v)", text, r.String(), again.String(), err)
		}
	})
}

// TestRemoveProjectData removes a project with its data, and not while the server runs.
func TestRemoveProjectData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	command := func(args ...string) (int, string) {
		var stdout, stderr bytes.Buffer
		status := run(args, []string{envPrefix + "DATA_DIR=" + dir}, &stdout, &stderr)
		return status, stdout.String() + stderr.String()
	}
	if status, text := command("project", "create", "shop"); status != exitOK {
		t.Fatal(text)
	}
	open := func() *embedded.Store {
		t.Helper()
		db, err := embedded.Open(embedded.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	now := libpf.UnixTimeNs(time.Now().UnixNano())
	old := now - libpf.UnixTimeNs(1000*24*time.Hour) // beyond the ages that the command has by default
	for _, project := range []string{"shop", "other"} {
		if _, err := db.Append(t.Context(), &store.Batch{
			Series:  []store.Series{{Project: project, Type: libpf.SampleOnCPU, Service: "web"}},
			Samples: []store.Sample{{Time: old, Count: 1, Value: 1}, {Time: now, Count: 1, Value: 1}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if status, text := command("project", "remove", "shop", "-data"); status != exitFailure || !strings.Contains(text, "stop it first") {
		t.Errorf("while the store is open: status %d: %s", status, text)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if status, text := command("project", "remove", "none", "-data"); status != exitFailure || !strings.Contains(text, "does not exist") {
		t.Errorf("no such project: status %d: %s", status, text)
	}
	for _, wrong := range []string{"-store=clickhouse", "-store=sqlite", "-object-store=s3://"} {
		if status, text := command("project", "remove", "-data", "shop", wrong); status != exitFailure {
			t.Errorf("%s: status %d: %s", wrong, status, text)
		}
	}
	if status, text := command("project", "remove", "-data", "shop"); status != exitOK || !strings.Contains(text, "2 samples") {
		t.Errorf("status %d: %s", status, text)
	}
	if _, text := command("project", "list"); strings.Contains(text, "shop") {
		t.Errorf("the project is still there: %s", text)
	}
	db = open()
	defer func() { _ = db.Close() }()
	for project, want := range map[string]int{"shop": 0, "other": 2} {
		n := 0
		q := &store.Query{Project: project, To: math.MaxInt64}
		if err := db.Samples(t.Context(), q, func(*store.Sample, *store.Series) bool { n++; return true }); err != nil || n != want {
			t.Errorf("%s has %d samples (error %v)", project, n, err)
		}
	}
}
