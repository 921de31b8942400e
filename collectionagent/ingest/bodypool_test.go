// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"sync"
	"testing"

	"google.golang.org/grpc/mem"
)

func TestBodyPool(t *testing.T) {
	t.Parallel()
	p := &bodyPool{}
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for _, n := range []int{0, 1, 4096, 4097, 100_000, 1 << 20, 1<<24 + 1} {
				want := bytes.Repeat([]byte{byte(w)}, n)
				data := mem.BufferSlice{mem.SliceBuffer(want[:n/2]), mem.SliceBuffer(want[n/2:])}
				b := data.MaterializeToBuffer(p)
				if !bytes.Equal(b.ReadOnlyData(), want) {
					t.Errorf("%d bytes are not what was put in", n)
				}
				b.Free()
				got := p.Get(n)
				if len(*got) != n {
					t.Errorf("buffer of %d bytes has %d", n, len(*got))
				}
				*got = (*got)[:n/2] // as users may
				p.Put(got)
			}
		})
	}
	workers.Wait()
	odd := make([]byte, 5000)
	p.Put(&odd) // of somebody else
	if got := p.Get(6000); len(*got) != 6000 {
		t.Errorf("buffer has %d bytes", len(*got))
	}
}
