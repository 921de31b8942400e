// SPDX-License-Identifier: Apache-2.0

package php

import (
	"errors"
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/support/skip"
)

// maxVerified bounds the verifier's work, which is CPU time at load: two thirds are
// the part that all runtimes share.
const maxVerified = 18000

func TestVerifier(t *testing.T) {
	skip.UnlessRoot(t)
	spec, err := Runtime{}.Spec()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
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
	log := c.Programs["unwind_php"].VerifierLog
	m := regexp.MustCompile(`processed (\d+) insns`).FindStringSubmatch(log)
	if m == nil {
		t.Fatalf("no statistics in the verifier's log: %q", log)
	}
	t.Logf("%s instructions", m[1])
	if n, _ := strconv.Atoi(m[1]); n > maxVerified {
		t.Errorf("the verifier processed %d instructions, the bound is %d", n, maxVerified)
	}
}
