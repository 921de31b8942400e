// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRelabel(t *testing.T) {
	t.Parallel()
	type labels = map[string]string
	for name, c := range map[string]struct {
		rules string
		in    labels
		want  labels // nil: dropped
	}{
		"replace": {
			"[{source_labels: [a, b], separator: '-', regex: '(.*)-(.*)', target_label: c, replacement: '$2/$1'}]",
			labels{"a": "1", "b": "2"}, labels{"a": "1", "b": "2", "c": "2/1"},
		},
		"replace without a match":      {"[{source_labels: [a], regex: x, target_label: c, replacement: y}]", labels{"a": "xx"}, labels{"a": "xx"}},
		"replace by a constant":        {"[{target_label: c, replacement: y}]", labels{}, labels{"c": "y"}},
		"replace by nothing":           {"[{source_labels: [none], target_label: a}]", labels{"a": "1"}, labels{}},
		"replace a label that is told": {"[{source_labels: [a], target_label: 'of_$1'}]", labels{"a": "b"}, labels{"a": "b", "of_b": "b"}},
		"replace what is no label":     {"[{source_labels: [a], target_label: '$1'}]", labels{"a": "b c"}, labels{"a": "b c"}},
		"text with lines":              {"[{source_labels: [a], target_label: c}]", labels{"a": "b\nc"}, labels{"a": "b\nc", "c": "b\nc"}},
		"keep":                         {"[{action: keep, source_labels: [a], regex: b|c}]", labels{"a": "b"}, labels{"a": "b"}},
		"keep the whole text":          {"[{action: keep, source_labels: [a], regex: b|c}]", labels{"a": "bc"}, nil},
		"drop":                         {"[{action: drop, source_labels: [a], regex: b.*}]", labels{"a": "bc"}, nil},
		"drop others":                  {"[{action: drop, source_labels: [a], regex: b}]", labels{"a": "bc"}, labels{"a": "bc"}},
		"keepequal":                    {"[{action: keepequal, source_labels: [a], target_label: b}]", labels{"a": "1", "b": "2"}, nil},
		"dropequal":                    {"[{action: dropequal, source_labels: [a], target_label: b}]", labels{"a": "1", "b": "1"}, nil},
		"case":                         {"[{action: Lowercase, source_labels: [a], target_label: b}, {action: uppercase, source_labels: [a], target_label: c}]", labels{"a": "xY"}, labels{"a": "xY", "b": "xy", "c": "XY"}},
		// The sum that Prometheus makes, so that its shards and these are the same.
		"hashmod":   {"[{action: hashmod, source_labels: [c], target_label: d, modulus: 1000}]", labels{"c": "baz"}, labels{"c": "baz", "d": "976"}},
		"labelmap":  {"[{action: labelmap, regex: __meta_(.*)}]", labels{"__meta_pod": "p", "x": "y"}, labels{"__meta_pod": "p", "pod": "p", "x": "y"}},
		"labeldrop": {"[{action: labeldrop, regex: x.*}]", labels{"x1": "1", "x2": "2", "y": "3"}, labels{"y": "3"}},
		"labelkeep": {"[{action: labelkeep, regex: x.*}]", labels{"x1": "1", "x2": "2", "y": "3"}, labels{"x1": "1", "x2": "2"}},
		"an action is told in any case, and an alias stays what it is": {
			"[{target_label: x, replacement: &a Replace}, {action: *a, target_label: b, replacement: *a}]", labels{}, labels{"x": "Replace", "b": "Replace"},
		},
		"in order": {"[{target_label: a, replacement: b}, {source_labels: [a], target_label: c}]", labels{}, labels{"a": "b", "c": "b"}},
	} {
		config, err := readConfig("c.yaml", []byte("scrape_configs: [{job_name: a, relabel_configs: "+c.rules+"}]"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		keep := relabel(c.in, config.jobs[0].rules)
		if keep != (c.want != nil) {
			t.Errorf("%s: keep is %t", name, keep)
		}
		if d := cmp.Diff(c.want, c.in); d != "" && keep {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
