// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/internal/hostmemory"
)

func TestPlan(t *testing.T) {
	request := map[Part]Fixed{Ingest: {Flag: "-max-request-bytes", Bytes: 64 << 20}}
	for name, c := range map[string]struct {
		total int64
		fixed map[Part]Fixed
		wrong []string // in the error
	}{
		"least":    {total: 240 << 20},
		"small":    {total: 256 << 20},
		"default":  {total: 2 << 30},
		"large":    {total: 64 << 30},
		"override": {total: 1 << 30, fixed: map[Part]Fixed{Head: {"-head-max-bytes", 512 << 20}}},
		"too small": {total: 64 << 20,
			wrong: []string{"64 MiB", "raise -memory", "-max-request-bytes"}},
		"too large an override": {total: 1 << 30, fixed: map[Part]Fixed{Head: {"-head-max-bytes", 900 << 20}, Ingest: {"-ingest-memory", 256 << 20}},
			wrong: []string{"-head-max-bytes 900 MiB", "-ingest-memory 256 MiB"}},
	} {
		p, err := NewPlan(c.total, c.fixed, request)
		if len(c.wrong) > 0 {
			if !errors.Is(err, ErrPlan) {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for _, text := range c.wrong {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %q is not in %q", name, text, err)
				}
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sum := int64(0)
		for _, part := range Parts {
			n := p.Bytes[part]
			sum += n
			if f, ok := c.fixed[part]; ok {
				if n != f.Bytes {
					t.Errorf("%s: %s has %d bytes instead of %d", name, part, n, f.Bytes)
				}
			} else if n < max(shares[part].least, request[part].Bytes) {
				t.Errorf("%s: %s has only %d bytes", name, part, n)
			}
		}
		if sum > c.total/100*counted {
			t.Errorf("%s: %d of %d bytes are given to parts", name, sum, c.total)
		}
	}
	weights := int64(0)
	for _, part := range Parts {
		weights += shares[part].weight
	}
	if weights != counted {
		t.Errorf("weights sum up to %d", weights)
	}
}

func TestDefaultTotal(t *testing.T) {
	if n := DefaultTotal(); n < 256<<20 || n > 2<<30 {
		t.Errorf("%d bytes", n)
	}
	if p, err := NewPlan(leastDefault, nil, map[Part]Fixed{Ingest: {Flag: "-max-request-bytes", Bytes: 64 << 20}}); err != nil || p == nil {
		t.Errorf("the least default does not suffice: %v", err)
	}
	if hostmemory.Available() == math.MaxInt64 {
		t.Log("the memory of this machine is not known")
	}
}
