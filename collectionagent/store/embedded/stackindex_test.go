// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"math/rand/v2"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
)

func TestStackIndex(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	for name, next := range map[string]func() libpf.TraceHash{
		"random":     func() libpf.TraceHash { return libpf.NewTraceHash(r.Uint64(), r.Uint64()%1000) },
		"few":        func() libpf.TraceHash { return libpf.NewTraceHash(0, r.Uint64()%10) },
		"upper half": func() libpf.TraceHash { return libpf.NewTraceHash(r.Uint64N(50_000)<<40, 0) },
	} {
		var x stackIndex
		var list []libpf.TraceHash
		want := make(map[libpf.TraceHash]uint32)
		for range 100_000 {
			h := next()
			n, isNew := x.number(list, h)
			known, ok := want[h]
			if !ok {
				known = uint32(len(list)) //nolint:gosec // small
				want[h] = known
			}
			if isNew == ok || n != known {
				t.Fatalf("%s: number %d, new %v; want %d, %v", name, n, isNew, known, !ok)
			}
			if isNew {
				list = append(list, h)
			}
		}
	}
}
