// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/tracer/interpreter/all"
)

// TestObjects looks at each object as what is loaded into the kernel.
func TestObjects(t *testing.T) {
	objects := Objects()
	if len(objects) != 1+len(all.Runtimes()) {
		t.Fatalf("%d objects", len(objects))
	}
	names, sums := map[string]bool{}, map[string]bool{}
	for _, o := range objects {
		if b, err := hex.DecodeString(o.SHA256); err != nil || len(b) != 32 || names[o.Name] || sums[o.SHA256] {
			t.Errorf("%+v: %v", o, err)
		}
		names[o.Name], sums[o.SHA256] = true, true
	}
	for _, r := range all.Runtimes() {
		spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(r.Object()))
		if err != nil || spec.Programs["unwind_"+r.Name()] == nil {
			t.Errorf("%s: not the object of its program: %v", r.Name(), err)
		}
	}
}
