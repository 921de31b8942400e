// SPDX-License-Identifier: Apache-2.0

package support_test

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/support/skip"
)

// maxVerified is the most instructions that the verifier may have to look at
// per program. Each 1,000 cost about 2.5 ms of CPU at every start of the agent.
const maxVerified = 12000

var (
	processed = regexp.MustCompile(`processed (\d+) insns`)
	took      = regexp.MustCompile(`verification time (\d+) usec`)
)

// lacks returns what a program needs that this kernel does not have. The agent
// leaves such programs out; see tracer/kernel.go.
func lacks(t *testing.T, program string) string {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	var iterator *btf.Func
	if slices.Contains([]string{"follow_exec", "follow_fault", "read_processes"}, program) && kernel.TypeByName("bpf_iter_task_vma_new", &iterator) != nil {
		return "the iterator over mappings"
	}
	var hook *btf.Typedef
	if program == "follow_fault" && kernel.TypeByName("btf_trace_mm_filemap_map_pages", &hook) != nil {
		return "the tracepoint of file faults"
	}
	return ""
}

// TestVerifier loads each program by itself and bounds the verifier's work.
func TestVerifier(t *testing.T) {
	skip.UnlessRoot(t)
	spec, err := support.LoadStrobe()
	if err != nil {
		t.Fatal(err)
	}
	for name := range spec.Programs {
		t.Run(name, func(t *testing.T) {
			if what := lacks(t, name); what != "" {
				skip.Because(t, "this kernel lacks "+what)
			}
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
				if ve, ok := errors.AsType[*ebpf.VerifierError](err); ok {
					t.Logf("%+v", ve)
				}
				t.Fatal(err)
			}
			defer c.Close()
			m := processed.FindStringSubmatch(c.Programs[name].VerifierLog)
			if m == nil {
				t.Fatal("the verifier does not say how many instructions it processed")
			}
			n, _ := strconv.Atoi(m[1])
			usec := "?"
			if m := took.FindStringSubmatch(c.Programs[name].VerifierLog); m != nil {
				usec = m[1]
			}
			t.Logf("%d instructions, verified in %s µs", n, usec) // support/kerneltest adds them up
			if n > maxVerified {
				t.Errorf("the verifier processed %d instructions, the bound is %d", n, maxVerified)
			}
		})
	}
}
