// SPDX-License-Identifier: Apache-2.0

package hotspot

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/support/skip"
)

// TestVerifier loads the program and says how much work that was.
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
	t.Log(c.Programs["unwind_hotspot"].VerifierLog)
}
