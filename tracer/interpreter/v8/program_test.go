// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"errors"
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/support/skip"
)

// maxVerified is the most instructions that the verifier may have to look at.
// Each 1,000 cost about 2.5 ms of CPU when the first process of V8 is seen.
const maxVerified = 12000

var processed = regexp.MustCompile(`processed (\d+) insns`)

func TestProgramLoads(t *testing.T) {
	skip.UnlessRoot(t)
	spec, err := Runtime{}.Spec()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
	})
	if err != nil {
		if ve, ok := errors.AsType[*ebpf.VerifierError](err); ok {
			t.Logf("%+v", ve)
		}
		t.Fatal(err)
	}
	defer c.Close()
	m := processed.FindStringSubmatch(c.Programs["unwind_v8"].VerifierLog)
	if m == nil {
		t.Fatal("the verifier does not say how many instructions it processed")
	}
	n, _ := strconv.Atoi(m[1])
	t.Logf("%d instructions", n)
	if n > maxVerified {
		t.Errorf("the verifier processed %d instructions, the bound is %d", n, maxVerified)
	}
}
