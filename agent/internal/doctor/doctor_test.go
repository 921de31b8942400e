// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/support/golden"
)

var (
	fine    = sampling.Capability{Name: "eBPF programs", OK: true, Required: true, Detail: "can be loaded"}
	missing = sampling.Capability{Name: "sampling events", Required: true, Detail: "operation not\npermitted", Effect: "nothing can be sampled", Fix: "run as root"}
	limited = sampling.Capability{Name: "hardware cycles (PMU)", Effect: "the CPU clock is sampled", Fix: "expose the PMU"}
	absent  = sampling.Capability{Name: "kprobe", Detail: "no", Effect: "nothing: it is not used"}
)

func TestReport(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in         []sampling.Capability
		canProfile bool
	}{
		"good":    {[]sampling.Capability{fine, absent}, true},
		"limited": {[]sampling.Capability{fine, limited, absent}, true},
		"bad":     {[]sampling.Capability{fine, missing, limited, absent}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := New("v1", test.in)
			if r.CanProfile != test.canProfile {
				t.Errorf("can profile: %v", r.CanProfile)
			}
			var text, encoded strings.Builder
			if err := r.Write(&text, Text); err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, filepath.Join("testdata", name+".txt"), text.String())
			if err := r.Write(&encoded, JSON); err != nil {
				t.Fatal(err)
			}
			var back Report
			if err := json.Unmarshal([]byte(encoded.String()), &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r, &back); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
		})
	}
}
