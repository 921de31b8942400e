// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"strings"
	"testing"
)

// FuzzConfig reads anything as a configuration, and makes endpoints of it.
func FuzzConfig(f *testing.F) {
	f.Add(wholeConfig)
	f.Add("scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}], relabel_configs: [{action: labelmap, regex: '(.*)', replacement: 'x$1'}]}]")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := readConfig("/c.yaml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "/c.yaml:") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		for _, j := range c.jobs {
			for _, g := range j.groups {
				for _, address := range g.targets {
					list, err := j.endpoints(nil, address, g.labels, nil)
					for _, s := range list {
						if err == nil && !strings.HasPrefix(s.url, "http") {
							t.Errorf("%q is scraped", s.url)
						}
						s.labelMap()
					}
				}
			}
		}
	})
}

// FuzzTargets reads anything as a file with targets.
func FuzzTargets(f *testing.F) {
	f.Add([]byte(`[{"targets": ["a:1", "b:1"], "labels": {"x": "y"}}]`))
	f.Add([]byte("- targets: [c:1]\n  labels: {x: y}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		groups, err := readTargets("/sd.json", content)
		if err != nil {
			return
		}
		for _, g := range groups {
			for _, address := range g.targets {
				if wrong := checkAddress(address); wrong != "" {
					t.Errorf("%q is taken: %s", address, wrong)
				}
			}
		}
	})
}
