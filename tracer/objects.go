// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"github.com/strobe-profiler/strobe/internal/buildinfo"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/tracer/interpreter/all"
)

// Objects describes the eBPF objects of this binary: the sampler's, and those of the
// runtimes in the order of [all.Runtimes]. It loads none of them.
func Objects() []buildinfo.Object {
	objects := []buildinfo.Object{buildinfo.NewObject("strobe", support.Object())}
	for _, r := range all.Runtimes() {
		objects = append(objects, buildinfo.NewObject(r.Name(), r.Object()))
	}
	return objects
}
