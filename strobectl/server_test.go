// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/golden"
)

func TestMain(m *testing.M) {
	// Tests that need a program with a terminal, or one that a shell can call, start
	// this one.
	if os.Getenv("STROBECTL_TEST_MAIN") == "1" {
		time.Local = time.UTC
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	time.Local = time.UTC
	os.Exit(m.Run())
}

// testNow is the time of the server: 2026-11-21 10:00:00 UTC.
var testNow = time.Unix(1_795_255_200, 0).UTC()

// testStore holds two services of a host, half an hour long. In the later quarter of an
// hour shop.price has become slower.
func testStore(tb testing.TB) *memstore.Store {
	tb.Helper()
	s := memstore.New()
	app := libpf.NewFileID(0xa, 1)
	frames := map[string]libpf.Frame{}
	d := &store.Definitions{
		Project:     ingest.DefaultProject,
		Executables: []libpf.Executable{{FileID: app, FileName: "shop", BuildID: "0123456789abcdef"}},
		Hosts: []store.Host{{
			ID: "42", Name: "node-1", LastSeen: libpf.UnixTimeNs(testNow.UnixNano()), Metadata: map[string]string{"kernel.release": "6.1.0"},
		}},
	}
	frame := func(name string) libpf.Frame {
		f, ok := frames[name]
		if !ok {
			f = libpf.Frame{Type: libpf.GoFrame, FileID: app, AddressOrLineno: libpf.AddressOrLineno(16 * (len(frames) + 1))}
			frames[name] = f
			d.Symbols = append(d.Symbols, store.Symbol{Frame: f.ID(), Lines: []libpf.SourceLine{{
				Function: name, File: "/src/" + strings.SplitN(name, ".", 2)[0] + ".go", Line: libpf.SourceLineno(10 * len(frames)), StartLine: libpf.SourceLineno(10*len(frames) - 3),
			}}})
		}
		return f
	}
	b := &store.Batch{Series: []store.Series{
		{Project: ingest.DefaultProject, Type: libpf.SampleOnCPU, Service: "shop", Host: "node-1", HostID: "42", Process: "shop", Comm: "worker", PID: 7, TID: 8},
		{Project: ingest.DefaultProject, Type: libpf.SampleOnCPU, Service: "cron", Host: "node-1", HostID: "42", Process: "cron", Comm: "cron", PID: 9, TID: 9},
	}}
	for _, stack := range []struct {
		names                string
		series               uint32
		before, before2, now int64 // samples in three ranges of ten minutes
	}{
		{"main.main;shop.serve;shop.price;math.round", 0, 10, 10, 70},
		{"main.main;shop.serve;shop.price", 0, 10, 10, 20},
		{"main.main;shop.serve;json.Encode(map[string]int)", 0, 60, 60, 60},
		{"main.main;gc.scan", 0, 20, 20, 10},
		{"main.main;cron.tick;\x1b[31mevil\u202e", 1, 10, 5, 4},
	} {
		var list []libpf.Frame
		for name := range strings.SplitSeq(stack.names, ";") {
			list = append([]libpf.Frame{frame(name)}, list...)
		}
		hash := libpf.HashTrace(list)
		d.Stacks = append(d.Stacks, store.Stack{Hash: hash, Frames: list})
		for i, n := range []int64{stack.before, stack.before2, stack.now} {
			for j := range n {
				at := testNow.Add(-30*time.Minute + time.Duration(i)*10*time.Minute + time.Duration(j)*5*time.Second)
				b.Samples = append(b.Samples, store.Sample{
					Time: libpf.UnixTimeNs(at.UnixNano()), Series: stack.series, Stack: hash, Count: 1, Value: int64(50 * time.Millisecond),
				})
			}
		}
	}
	if _, err := s.Put(tb.Context(), d); err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Append(tb.Context(), b); err != nil {
		tb.Fatal(err)
	}
	return s
}

// testFleet has an agent that does well and one that does not.
type testFleet struct{}

func (testFleet) Agents(string) []fleet.Agent {
	ns := func(ago time.Duration) libpf.UnixTimeNs { return libpf.UnixTimeNs(testNow.Add(-ago).UnixNano()) }
	return []fleet.Agent{
		{Report: fleet.Report{
			HostID: "42", HostName: "node-1", RunID: [16]byte{1}, AgentVersion: "1.2.3", State: "connected", Time: ns(3 * time.Second), Start: ns(time.Hour),
			Ledger: fleet.Ledger{Captured: 72000, Stored: 71960, Queued: 40}, Spool: fleet.Spool{State: "on", MaxBytes: 512 << 20},
		}, Received: testNow.Add(-3 * time.Second)},
		{Report: fleet.Report{
			HostID: "43", HostName: "node-2", RunID: [16]byte{2}, AgentVersion: "1.2.3", State: "disconnected", LastError: "connection refused",
			Time: ns(2 * time.Second), Start: ns(time.Hour),
			Ledger:      fleet.Ledger{Captured: 1000, Stored: 400, Queued: 50, Spooled: 500, Dropped: map[string]uint64{"too_old": 30, "queue_full": 20}},
			Spool:       fleet.Spool{State: "on", Bytes: 1 << 20, MaxBytes: 512 << 20, Batches: 7},
			Limitations: []fleet.Limitation{{Name: "hardware cycles (PMU)", Effect: "the CPU clock is sampled", Fix: "expose the PMU"}},
		}, Received: testNow.Add(-4 * time.Second)},
	}
}

type testReceipts struct{}

func (testReceipts) Receipts(string) fleet.Receipts {
	return fleet.Receipts{Received: 379, Stored: 379, Refused: map[string]uint64{"invalid": 2}}
}

// runStore is a store that says what it holds of each run.
type runStore struct{ store.Store }

func (runStore) RunLedgers(context.Context, string) ([]store.RunLedger, error) { return nil, nil }

// testServer serves the API with the data of tests, and returns its URL.
func testServer(tb testing.TB) string {
	tb.Helper()
	h := api.New(api.Config{
		Store: runStore{testStore(tb)}, Fleet: testFleet{}, Receipts: testReceipts{}, Version: "1.2.3", Now: func() time.Time { return testNow },
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "", "Bearer good-token-0123456789":
			h.ServeHTTP(w, r.WithContext(auth.NewContext(r.Context(), auth.Anonymous())))
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":{"parameter":"","position":0,"message":"the token is not known"}}`)) // the client sees it
		}
	}))
	tb.Cleanup(server.Close)
	return server.URL
}

// session runs commands, one in a line, and returns what they print, the standard error
// behind a mark. Words are split at spaces.
func session(t *testing.T, url, commands string) string {
	t.Helper()
	t.Setenv("STROBE_URL", url)
	t.Setenv("STROBE_TOKEN_FILE", "")
	for _, name := range []string{"TERM", "COLORTERM", "NO_COLOR", "COLUMNS"} {
		t.Setenv(name, "")
	}
	var all strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(commands), "\n") {
		line = strings.TrimSpace(line)
		all.WriteString("$ " + line + "\n")
		var stdout, stderr bytes.Buffer
		status := run(strings.Fields(line)[1:], strings.NewReader("a;b 3\na;c 1\n"), &stdout, &stderr)
		all.Write(stdout.Bytes())
		for text := range strings.Lines(stderr.String()) {
			all.WriteString("! " + text)
		}
		if status != exitOK {
			all.WriteString("status " + strconv.Itoa(status) + "\n")
		}
		all.WriteString("\n")
	}
	return strings.ReplaceAll(all.String(), url, "http://server")
}

// TestQuestions compares what commands print of a server with golden files.
func TestQuestions(t *testing.T) {
	for name, commands := range map[string]string{
		"top": `
			strobectl top
			strobectl top -from 10m service=shop -limit 2 -sort total
			strobectl top {service="cron"}
			strobectl top service=shop comm!~w.* -from 1h
			strobectl top -o json -limit 1 -from now-30m
			strobectl top -color always -limit 3
			strobectl top -file - -sort total
			strobectl top -file - -o json -limit 1
			strobectl watch top -count 1 -limit 2 -from 1h -color never -by service`,
		"flamegraph": `
			strobectl flamegraph
			strobectl flamegraph -depth 2 -from 1h
			strobectl flamegraph -min 20% -from 1h
			strobectl flamegraph -by service -style icicle
			strobectl flamegraph -style icicle -color always -depth 4
			strobectl flamegraph -zoom PRICE
			strobectl flamegraph -zoom price
			strobectl flamegraph -focus round
			strobectl flamegraph -file -
			strobectl flamegraph -o folded`,
		"functions": `
			strobectl callers shop.price
			strobectl callers shop.* -show callers -depth 1
			strobectl callers *round* -show callees
			strobectl callers shop.prize
			strobectl callers prce
			strobectl callers {function=price}
			strobectl callers
			strobectl lines shop.price
			strobectl lines nothing.like.it`,
		"diff": `
			strobectl diff -from 10m
			strobectl diff -from 10m -normalize -limit 2
			strobectl diff -from 10m -fail-over 20% -limit 1
			strobectl diff -from 10m -fail-over 200% -limit 1
			strobectl diff -from 10m -normalize -fail-over 20% -limit 1 -sort total
			strobectl diff -base - -limit 3
			strobectl diff -base - -file missing
			strobectl diff -base - -base-from now-1h
			strobectl diff -file -
			strobectl diff -fail-over much`,
		"rest": `
			strobectl timeline -from 30m -step 5m
			strobectl timeline -from 30m -step 5m -by comm -limit 1 -color always
			strobectl labels
			strobectl labels service -from 30m
			strobectl labels service -o json -limit 1 -from 30m
			strobectl types
			strobectl executables
			strobectl executables service=cron -sort unnamed -limit 1
			strobectl executables -sort size
			strobectl events
			strobectl events -type on_cpu
			strobectl hosts
			strobectl hosts -v -color always -limit 1
			strobectl status
			strobectl export -o folded service=shop
			strobectl export -o - -format csv
			strobectl export -file - -o speedscope
			strobectl export -file - -o folded`,
		"nothing": `
			strobectl top servce=shop
			strobectl top service=shp
			strobectl top service=totally-different
			strobectl top -type off_cpu
			strobectl top -from 2h -to now-1h
			strobectl timeline service=shp
			strobectl labels servce`,
		"mistakes": `
			strobectl tpo
			strobectl top shop
			strobectl top -query service="x" comm=y
			strobectl top -form 1h
			strobectl top -from now-5x
			strobectl top -from now -to now-1h
			strobectl top -type off_cp
			strobectl top -sort size
			strobectl top -o yaml
			strobectl top {service="x",comm=~"a("}
			strobectl top -frames {functon="x"}
			strobectl top -color sometimes
			strobectl top -server ftp://x
			strobectl top -server http://user:secret@127.0.0.1:1
			strobectl top -token-file no-such-file
			strobectl top -ca-file server_test.go
			strobectl top -server http://127.0.0.1:1
			strobectl top -file no-such-file
			strobectl flamegraph -o x.jpg
			strobectl flamegraph -o -
			strobectl flamegraph -style round
			strobectl flamegraph -min lots
			strobectl export service=shop
			strobectl export -o x -format png
			strobectl import
			strobectl import -
			strobectl import -service x no-such-file
			strobectl import -format jfr -service x -
			strobectl hosts node-1
			strobectl record
			strobectl record -a -o x.jpg
			strobectl record -pid me
			strobectl watch top -interval 1ms
			strobectl watch top -by colour
			strobectl completion tcsh`,
	} {
		t.Run(name, func(t *testing.T) {
			golden.Equal(t, filepath.Join("testdata", "server_"+name+".txt"), withoutClock(session(t, testServer(t), commands)))
		})
	}
}

// withoutClock leaves out the time of day before each table of watch top.
func withoutClock(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if len(line) > 10 && line[2] == ':' && line[5] == ':' && line[8:10] == "  " {
			lines[i] = "hh:mm:ss" + line[8:]
		}
	}
	return strings.Join(lines, "")
}

func TestToken(t *testing.T) {
	url := testServer(t)
	dir := t.TempDir()
	t.Chdir(dir)
	for name, token := range map[string]string{"good": "good-token-0123456789", "bad": "bad-token-0123456789"} {
		if err := os.WriteFile(name, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := session(t, url, "strobectl top -limit 1 -token-file good"); !strings.Contains(got, "math.round") {
		t.Error(got)
	}
	got := session(t, url, "strobectl top -limit 1 -token-file bad")
	if !strings.Contains(got, "the token is not known") || !strings.Contains(got, "-token-file FILE") || !strings.Contains(got, "status 1") {
		t.Error(got)
	}
}

// TestFiles writes every format and reads what can be read.
func TestFiles(t *testing.T) {
	url := testServer(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"a.pb.gz", "a.folded", "a.speedscope.json", "a.otlp", "a.csv", "a.svg", "a.html"} {
		got := session(t, url, "strobectl export -from 30m -o "+name)
		if !strings.Contains(got, "wrote "+name) {
			t.Fatal(got)
		}
		data, err := os.ReadFile(name)
		if err != nil || len(data) == 0 {
			t.Fatal(name, err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v: others may read what runs on the hosts", name, info.Mode(), err)
		}
		if bytes.Contains(data, []byte("\x1b")) && (strings.HasSuffix(name, "svg") || strings.HasSuffix(name, "html")) {
			t.Errorf("%s has a control character", name)
		}
		switch name {
		case "a.csv", "a.svg", "a.html":
			continue
		}
		if got := session(t, url, "strobectl top -limit 1 -file "+name); !strings.Contains(got, "json.Encode") {
			t.Errorf("%s: %s", name, got)
		}
		for _, to := range []string{"b.pb.gz", "b.otlp", "b.speedscope.json", "b.html"} {
			if got := session(t, url, "strobectl export -file "+name+" -o "+to); !strings.Contains(got, "wrote "+to) {
				t.Errorf("%s: %s", name, got)
			}
		}
		if got := session(t, url, "strobectl diff -limit 1 -base b.pb.gz -file "+name+" -fail-over 0.1%"); strings.Contains(got, "status") {
			t.Errorf("%s is not what it was: %s", name, got)
		}
	}
	// However it is made, a file of folded stacks counts samples.
	want, err := os.ReadFile("a.folded")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.pb.gz", "a.otlp", "a.folded"} {
		session(t, url, "strobectl export -file "+name+" -o b.folded")
		if got, err := os.ReadFile("b.folded"); err != nil || !slices.Equal(sortedLines(got), sortedLines(want)) {
			t.Errorf("%s as folded: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
	// Where there is nothing, a script has to know.
	for _, to := range []string{"e.pb.gz", "e.folded", "e.speedscope.json", "e.otlp", "e.csv", "e.svg"} {
		got := session(t, url, "strobectl export service=nix -o "+to)
		if _, err := os.Stat(to); err == nil || !strings.Contains(got, "status 1") || !strings.Contains(got, "No samples") {
			t.Errorf("%s of nothing: %v: %s", to, err, got)
		}
	}
	if got := session(t, url, "strobectl otlp check a.otlp"); !strings.Contains(got, "ok") {
		t.Error(got)
	}
}

func sortedLines(text []byte) []string {
	return slices.Sorted(strings.Lines(string(text)))
}

// TestImport looks at what is sent.
func TestImport(t *testing.T) {
	url := testServer(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"a.pb.gz", "a.folded", "a.speedscope.json", "a.otlp"} {
		session(t, url, "strobectl export -from 30m -o "+name)
	}
	var got []string
	limit := 1 << 30
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		if b.Len() > limit {
			limit = 1 << 30
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		got = append(got, r.URL.Path+"?"+r.URL.RawQuery)
		if b.Len() == 0 {
			t.Error("nothing was sent")
		}
	}))
	defer receiver.Close()
	out := session(t, receiver.URL, `strobectl import -service big -label region=eu -at now-5m -rate 50 a.folded
		strobectl import -service big a.pb.gz a.speedscope.json
		strobectl import a.otlp
		strobectl import -service x -type wall a.pb.gz
		strobectl import -at now a.otlp`)
	want := []string{
		"/api/v1/upload?format=folded&region=eu&sample_rate=50&service=big&time=now-5m",
		"/api/v1/upload?format=pprof&service=big",
		"/api/v1/upload?format=folded&service=big&type=wall&unit=ns",
		"/v1development/profiles?",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s\n%s", d, out)
	}
	if !strings.Contains(out, "-type is for folded stacks") || !strings.Contains(out, "not for OTLP") {
		t.Error(out)
	}
	// What is too large goes in parts.
	got, limit = nil, 100
	if out := session(t, receiver.URL, "strobectl import -service big a.pb.gz"); len(got) != 2 || strings.Contains(out, "status") {
		t.Errorf("%q\n%s", got, out)
	}
}
