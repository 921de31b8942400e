// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

// question is one that people ask.
type question struct {
	name string
	path string
	more url.Values
	goal string // CPU, ms
	peer string // the best of others
}

// oneService is the service that questions are about, the third in size.
const oneService = 2

// questions returns what is asked.
func (b *bench) questions() []question {
	one := `{service="` + b.work.Services[oneService] + `"}`
	length := time.Duration(b.windows) * workload.WindowSeconds * time.Second
	end := b.base.Add(length)
	at := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	middle := at(b.base.Add(length / 2))
	// As others answer with by default or were asked for.
	nodes := []string{"16384"}
	step := max(15*time.Second, length/240).String()
	return []question{
		{"flame graph, all services", "flamegraph", url.Values{"max_nodes": nodes}, "60", "3,900 (10,410)"},
		{"flame graph, one service", "flamegraph", url.Values{"max_nodes": nodes, "query": {one}}, "8", "445 (6,195)"},
		{"flame graph, one service, last 5 min", "flamegraph", url.Values{"max_nodes": nodes, "query": {one}, "from": {at(end.Add(-5 * time.Minute))}}, "", "93 (98)"},
		{"top, one service", "top", url.Values{"query": {one}}, "", "(6,810)"},
		{"pprof, one service", "pprof", url.Values{"query": {one}}, "", "334 (6,830)"},
		{"diff of halves, one service", "diff", url.Values{
			"max_nodes": nodes, "query": {one}, "base_from": {at(b.base)}, "base_to": {middle}, "from": {middle},
		}, "15", "552 (6,830)"},
		{"timeline by service", "timeline", url.Values{"by": {"service"}, "step": {step}, "limit": {"100"}}, "20", "360 (1,320)"},
		{"timeline, one service", "timeline", url.Values{"query": {one}, "step": {step}}, "", "17 (824)"},
		{"labels", "labels", nil, "", "12 (848)"},
		{"label values, service", "labels/service/values", nil, "0.5", "11 (706)"},
		{"profile types", "types", nil, "", "1 (40)"},
	}
}

// asked is what a question took.
type asked struct {
	runs            int
	cpu             time.Duration // of the server, each
	first, p50, p95 time.Duration
	bytes           int
}

// ask asks all questions.
func (b *bench) ask(ctx context.Context, s *server, t *table, phase string) error {
	from := strconv.FormatInt(b.base.UnixMilli(), 10)
	to := strconv.FormatInt(b.base.Add(time.Duration(b.windows)*workload.WindowSeconds*time.Second).UnixMilli(), 10)
	for _, q := range b.questions() {
		if !strings.Contains(q.name, b.only) {
			continue
		}
		values := url.Values{"from": {from}, "to": {to}}
		if q.path != "types" {
			values.Set("type", "on_cpu")
		}
		maps.Copy(values, q.more)
		a, err := b.repeat(ctx, s, s.http+"/api/v1/"+q.path+"?"+values.Encode())
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		t.question(phase, q, a)
	}
	return nil
}

// repeat asks a question again and again. The first time, which fills caches, is
// kept apart.
func (b *bench) repeat(ctx context.Context, s *server, address string) (a asked, err error) {
	var times []int
	var before time.Duration
	began := time.Now()
	for i := 0; i <= b.runs && (i < 2 || time.Since(began) < b.budget); i++ {
		asked := time.Now()
		if a.bytes, err = get(ctx, address); err != nil {
			return a, err
		}
		took := time.Since(asked)
		if i == 0 {
			a.first, before = took, cpu(s.pid())
			continue
		}
		times = append(times, int(took))
	}
	a.runs = len(times)
	a.cpu = (cpu(s.pid()) - before) / time.Duration(a.runs)
	a.p50, a.p95 = quantile(times, 0.5), quantile(times, 0.95)
	return a, nil
}

// get asks once and returns the size of the answer as it was sent, not compressed.
func get(ctx context.Context, address string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Accept-Encoding", "identity")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %.300s", answer.Status, body)
	}
	return len(body), nil
}
