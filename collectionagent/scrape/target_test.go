// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// endpointsOf returns the endpoints of the static targets of a configuration.
func endpointsOf(t *testing.T, text string) ([]spec, error) {
	t.Helper()
	c, err := readConfig("c.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var all []spec
	for _, j := range c.jobs {
		for _, g := range j.groups {
			for _, a := range g.targets {
				if all, err = j.endpoints(all, a, g.labels, nil); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	all, err := endpointsOf(t, `
scrape_configs:
- job_name: shop
  scrape_interval: 10s
  params: {tenant: [secret, x]}
  static_configs: [{targets: ["h:1"], labels: {env: prod, __internal: x}}]
  profiling_config:
    path_prefix: /p/
    pprof_config: {block: {enabled: false}, mutex: {enabled: false}, goroutine: {enabled: false}}
- job_name: by-rules
  static_configs: [{targets: ["h:1"], labels: {pod: a}}]
  relabel_configs:
  - {source_labels: [__name__], regex: goroutine, action: keep}
  - {target_label: __address__, replacement: "other:2"}
  - {target_label: __scheme__, replacement: https}
  - {target_label: __profile_path__, replacement: /g}
  - {target_label: __param_debug, replacement: "0"}
  - {target_label: instance, replacement: me}
  - {target_label: job, replacement: you}
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		got = append(got, strings.Join([]string{s.job, s.instance, s.profile, s.url, s.where, strings.ReplaceAll(s.labels, "\x00", " ")}, " | "))
	}
	want := []string{
		"shop | h:1 | memory | http://h:1/p/debug/pprof/allocs?tenant=secret&tenant=x | http://h:1/p/debug/pprof/allocs | env prod instance h:1 job shop ",
		"shop | h:1 | process_cpu | http://h:1/p/debug/pprof/profile?seconds=9&tenant=secret&tenant=x | http://h:1/p/debug/pprof/profile | env prod instance h:1 job shop ",
		"you | me | goroutine | https://other:2/g?debug=0 | https://other:2/g | instance me job you pod a ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("endpoints (-want +got):\n%s", d)
	}
}

func TestBadEndpoints(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		"{target_label: __address__, replacement: 'root:hunter2@h'}": "__address__: must be host:port",
		"{target_label: __address__, replacement: ''}":               "__address__: must be host:port",
		"{target_label: __scheme__, replacement: file}":              "__scheme__: must be http or https",
		"{target_label: __profile_path__, replacement: x}":           "__profile_path__: must be a path",
		"{target_label: a, replacement: \"\\0\"}":                    "the label a has a zero byte",
	} {
		_, err := endpointsOf(t, "scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}], relabel_configs: ["+rule+"]}]")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", rule, err, want)
		}
	}
}

// TestTurns checks that turns are the same whenever they are asked for, one interval
// apart, and spread.
func TestTurns(t *testing.T) {
	t.Parallel()
	const interval = time.Minute
	start := time.Unix(1_800_000_000, 0)
	seen := map[int]int{}
	for i := range 600 {
		s := spec{url: strings.Repeat("x", i), interval: interval}
		turn := s.next(start)
		if turn.Before(start) || turn.Sub(start) > interval {
			t.Fatalf("the first turn is %s after the start", turn.Sub(start))
		}
		if again := s.next(turn.Add(-time.Nanosecond)); !again.Equal(turn) {
			t.Errorf("asked just before: %s, want %s", again, turn)
		}
		if next := s.next(turn); next.Sub(turn) != interval {
			t.Errorf("the next turn is %s later", next.Sub(turn))
		}
		seen[int(turn.Sub(start)/(interval/10))]++
	}
	for i := range 10 {
		if seen[i] < 30 {
			t.Errorf("a tenth of the interval has %d turns of 600", seen[i])
		}
	}
}
