// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

// month asks for a long time of many hosts. Their samples would be a hundred billion
// rows, so each host is thinned out to a few samples in each window, which stand
// for as many observations as there would be.
type month struct {
	bench
	days, raw int // days in all, and days whose samples stay
	perWindow int // samples of a host in a window
	memory    int64

	end time.Time
}

// newMonth reads the flags.
func newMonth(args []string, out *os.File, usage io.Writer) (*month, error) {
	m := &month{bench: bench{config: workload.Default(), out: out}}
	fs := flag.NewFlagSet("month", flag.ContinueOnError)
	fs.SetOutput(usage)
	fs.StringVar(&m.binary, "binary", "bin/collectionagent", "the collection agent to measure")
	fs.IntVar(&m.days, "days", 30, "days of data")
	fs.IntVar(&m.raw, "raw-days", 7, "days whose samples stay; of older ones only sums per minute and hour")
	fs.IntVar(&m.hosts, "hosts", 100, "number of hosts")
	fs.IntVar(&m.perWindow, "per-window", 1, "samples of a host in a window of 10 s")
	fs.IntVar(&m.config.Stacks, "stacks", m.config.Stacks, "distinct stacks")
	fs.Int64Var(&m.memory, "memory", 1024, "-memory of the server, MiB")
	fs.IntVar(&m.runs, "runs", 5, "times that each question is asked")
	fs.StringVar(&m.only, "only", "", "ask only questions whose name contains this")
	fs.StringVar(&m.profiles, "profiles", "", "directory for CPU profiles of the server while it answers")
	fs.StringVar(&m.dir, "dir", "", "directory to work in; it stays, and what is there is asked about again. Default: a temporary one")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case m.days < 1 || m.raw < 1 || m.hosts < 1 || m.perWindow < 1 || m.runs < 1:
		return nil, errors.New("-days, -raw-days, -hosts, -per-window and -runs must be positive")
	case m.config.Stacks < m.config.Services:
		return nil, fmt.Errorf("-stacks must be at least %d", m.config.Services)
	}
	m.windows = 1
	return m, nil
}

func (m *month) say(format string, a ...any) { _, _ = fmt.Fprintf(m.out, format+"\n", a...) }

func (m *month) run(ctx context.Context) error {
	leave, err := m.enter("strobe-month")
	if err != nil {
		return err
	}
	defer leave()
	m.work = workload.New(m.config)
	m.end = time.Now().Truncate(time.Hour)
	data := filepath.Join(m.dir, "data")
	if _, err := os.Stat(data); err != nil {
		if err := m.generate(ctx, data); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
	}
	began := time.Now()
	server, err := m.serve(ctx, data, "-memory", fmt.Sprintf("%dMiB", m.memory), "-retention", fmt.Sprintf("%dd", m.raw),
		"-max-sample-age", fmt.Sprintf("%dh", 24*m.raw), "-retention-minutes", fmt.Sprintf("%dd", max(m.raw, 30)))
	if err != nil {
		return err
	}
	defer func() { server.kill() }()
	m.say("start: %s ms, %d MiB resident", ms(time.Since(began)), server.peak()>>20)
	if err := m.define(ctx, server); err != nil {
		return err
	}
	stop := m.profile(server, "month")
	m.say("\n| question | wall ms first | p50 | CPU ms | resident MB, peak | resolution | files and rows read | bytes |\n%s",
		"| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, q := range m.questions() {
		if !strings.Contains(q.name, m.only) {
			continue
		}
		if err := m.ask(ctx, server, q); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	stop()
	return server.stop()
}

// define says what the stacks are.
func (m *month) define(ctx context.Context, server *server) error {
	conn, err := dial(server.grpc, grpc.UseCompressor(zstdgrpc.Name))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is on its way
	return define(ctx, pb.NewCollectionAgentClient(conn), m.work.Native(), 0, func(int) {})
}

func (m *month) questions() []question {
	one := []string{`{service="` + m.work.Services[oneService] + `"}`}
	host := []string{`{host="` + workload.HostName(m.hosts/2) + `"}`}
	nodes, day := []string{"16384"}, []string{"24h"}
	at := func(t time.Time) []string { return []string{strconv.FormatInt(t.UnixMilli(), 10)} }
	middle := at(m.end.Add(-time.Duration(m.days) * 12 * time.Hour))
	return []question{
		{name: "flame graph, all services", path: "flamegraph", more: url.Values{"max_nodes": nodes}, goal: "2000"},
		{name: "flame graph, one service", path: "flamegraph", more: url.Values{"max_nodes": nodes, "query": one}},
		{name: "flame graph, one host", path: "flamegraph", more: url.Values{"max_nodes": nodes, "query": host}},
		{name: "flame graph, all services, last day", path: "flamegraph", more: url.Values{"max_nodes": nodes, "from": at(m.end.Add(-24 * time.Hour))}},
		{name: "top, one service", path: "top", more: url.Values{"query": one}},
		{name: "diff of halves, one service", path: "diff", more: url.Values{
			"max_nodes": nodes, "query": one, "base_from": at(m.begin()), "base_to": middle, "from": middle,
		}},
		{name: "timeline by service, days", path: "timeline", more: url.Values{"by": {"service"}, "limit": {"100"}, "step": day}},
		{name: "timeline by host, days", path: "timeline", more: url.Values{"by": {"host"}, "limit": {"100"}, "step": day}},
		{name: "timeline, one service, hours", path: "timeline", more: url.Values{"query": one, "step": {"1h"}}},
		{name: "label values, service", path: "labels/service/values"},
	}
}

// begin returns when the data begin.
func (m *month) begin() time.Time { return m.end.Add(-time.Duration(m.days) * 24 * time.Hour) }

// ask asks a question and prints what it took. The first time, caches are cold.
func (m *month) ask(ctx context.Context, server *server, q question) error {
	values := url.Values{
		"type": {"on_cpu"}, "from": {strconv.FormatInt(m.begin().UnixMilli(), 10)}, "to": {strconv.FormatInt(m.end.UnixMilli(), 10)},
	}
	maps.Copy(values, q.more)
	address := server.http + "/api/v1/" + q.path + "?" + values.Encode()
	before, err := scrape(ctx, server)
	if err != nil {
		return err
	}
	began := time.Now()
	resolution, err := resolutionOf(ctx, address)
	if err != nil {
		return err
	}
	first := time.Since(began)
	after, err := scrape(ctx, server)
	if err != nil {
		return err
	}
	var read []string
	for _, kind := range []string{"samples", "1m", "1h", "all"} {
		label := `kind="` + kind + `"`
		files := after.sum("store_files_read_total", label) - before.sum("store_files_read_total", label)
		rows := after.sum("store_rows_read_total", label) - before.sum("store_rows_read_total", label)
		if files > 0 {
			read = append(read, fmt.Sprintf("%s %g, %.0f rows", kind, files, rows))
		}
	}
	m.bench.budget = time.Minute
	a, err := m.repeat(ctx, server, address)
	if err != nil {
		return err
	}
	m.say("| %s | %s | %s | %s | %.0f | %s | %s | %d |", q.name, ms(first), ms(a.p50), ms(a.cpu), float64(server.peak())/1e6, resolution,
		strings.Join(read, "; "), a.bytes)
	return nil
}

// resolutionOf asks and returns which resolution the answer says it was made from.
func resolutionOf(ctx context.Context, address string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer a.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(a.Body)
	if err != nil {
		return "", err
	}
	if a.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %.300s", a.Status, body)
	}
	type coverage struct {
		ResolutionMs int64 `json:"resolution_ms"`
	}
	var text struct {
		Coverage coverage `json:"coverage"`
		Summary  struct {
			Coverage coverage `json:"coverage"`
		} `json:"summary"`
	}
	_ = json.Unmarshal(body, &text) // what is not there is not said
	n := max(text.Coverage.ResolutionMs, text.Summary.Coverage.ResolutionMs)
	if n == 0 {
		return "not said", nil
	}
	return (time.Duration(n) * time.Millisecond).String(), nil
}
