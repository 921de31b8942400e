// SPDX-License-Identifier: Apache-2.0

package support_test

import (
	"errors"
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/support/skip"
)

// maxVerified is the most instructions that the verifier may have to look at
// per program. Each 1,000 cost about 2.5 ms of CPU at every start of the agent.
const maxVerified = 12000

var processed = regexp.MustCompile(`processed (\d+) insns`)

// TestVerifier loads each program by itself and bounds the verifier's work.
func TestVerifier(t *testing.T) {
	skip.UnlessRoot(t)
	spec, err := support.LoadStrobe()
	if err != nil {
		t.Fatal(err)
	}
	for name := range spec.Programs {
		t.Run(name, func(t *testing.T) {
			one := spec.Copy()
			for other := range one.Programs {
				if other != name {
					delete(one.Programs, other)
				}
			}
			c, err := ebpf.NewCollectionWithOptions(one, ebpf.CollectionOptions{
				Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
			})
			if err != nil {
				var ve *ebpf.VerifierError
				if errors.As(err, &ve) {
					t.Logf("%+v", ve)
				}
				t.Fatal(err)
			}
			defer c.Close()
			m := processed.FindStringSubmatch(c.Programs[name].VerifierLog)
			if m == nil {
				t.Fatal("the verifier does not say how many instructions it processed")
			}
			if n, _ := strconv.Atoi(m[1]); n > maxVerified {
				t.Errorf("the verifier processed %d instructions, the bound is %d", n, maxVerified)
			} else {
				t.Logf("%d instructions", n)
			}
		})
	}
}
