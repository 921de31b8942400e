// SPDX-License-Identifier: Apache-2.0

package native

import (
	"debug/elf"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	rows := []Row{{0, 10}, {4, 20}, {100, 30}}
	for pc, want := range map[uint16]uint16{0: 10, 3: 10, 4: 20, 99: 20, 100: 30, 65535: 30} {
		if got := Lookup(rows, pc); got != want {
			t.Errorf("%d: %d, want %d", pc, got, want)
		}
	}
	if got := Lookup(nil, 7); got != RuleInvalid {
		t.Errorf("no rows: %#x", got)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	rules := NewRules()
	if rules.Len() != FirstRule {
		t.Fatalf("%d rules", rules.Len())
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range MaxRules + 10 {
				index, ok := rules.Intern(Rule{CFAOff: int32(i)})
				if ok && rules.At(int(index)).CFAOff != int32(i) {
					t.Errorf("rule %d has index %d of another", i, index)
				}
			}
		})
	}
	wg.Wait()
	if rules.Len() != MaxRules || len(rules.Snapshot()) != MaxRules {
		t.Errorf("%d rules, want %d", rules.Len(), MaxRules)
	}
	if _, ok := rules.Intern(Rule{RAOff: 1}); ok {
		t.Error("room for one more")
	}
}

// full is an interner without room.
type full struct{}

func (full) Intern(Rule) (uint16, bool) { return 0, false }

func TestRulesFull(t *testing.T) {
	t.Parallel()
	tables, _ := openImage(t, oneFDE(elf.EM_X86_64, stdCIE, []byte{cfaDefCFAOffset, 12, cfaAdvanceLoc | 4, cfaDefCFAOffset, 16}))
	tables.rules = full{}
	rows, err := tables.Page(0)
	if err != nil {
		t.Fatal(err)
	}
	want := []Row{{0, RuleInvalid}, {textOff + 4, inlineRule(false, 2, 0)}, {textOff + 0x40, RuleInvalid}}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if tables.Stats().RulesFull != 1 {
		t.Errorf("%+v", tables.Stats())
	}
}

func TestCoarsen(t *testing.T) {
	t.Parallel()
	var rows []Row
	pc := 0
	for i := range 1000 {
		rows = append(rows, Row{uint16(pc), uint16(i)})
		pc += 1 + i%7
	}
	got := coarsen(append([]Row(nil), rows...), 300)
	if len(got) > 300 || len(got) < 290 {
		t.Fatalf("%d rows", len(got))
	}
	if got[0] != rows[0] {
		t.Errorf("first row %v", got[0])
	}
	for i := 1; i < len(got); i++ {
		if got[i].PCLow <= got[i-1].PCLow || got[i].Rule == got[i-1].Rule {
			t.Fatalf("rows %v, %v", got[i-1], got[i])
		}
		if n := int(got[i].Rule) % 7; n < 4 {
			t.Fatalf("kept a row of %d bytes", n+1)
		}
	}
}

// TestTooManyRows makes a page with a row for each byte.
func TestTooManyRows(t *testing.T) {
	t.Parallel()
	prog := []byte{}
	for i := range textSize {
		prog = append(prog, cfaDefCFAOffset, byte(8*(i%15+1)), cfaAdvanceLoc|1)
	}
	var f frames
	c := f.cie(stdCIE...)
	f.fde(c, append(append(code(0, textSize), 0), prog...))
	tables, _ := openImage(t, image(elf.EM_X86_64, false, part{".eh_frame", elf.SHT_PROGBITS, frameOff, f.b}))
	rows, err := tables.Page(0)
	if err != nil || len(rows) != textSize+2 { // and what is around
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	b := &builder{t: tables, rows: make([]Row, 0, PageSize)}
	for i := range PageSize {
		b.rows = append(b.rows, Row{uint16(i), uint16(i % 3)})
	}
	if got := b.finish(); len(got) > MaxPageRows || tables.Stats().RowsCut == 0 {
		t.Errorf("%d rows, %+v", len(got), tables.Stats())
	}
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows []Row
		s    span
		want []Row
	}{
		"inside a row":  {[]Row{{0, 1}}, span{8, 16}, []Row{{0, 1}, {8, 9}, {16, 1}}},
		"over rows":     {[]Row{{0, 1}, {8, 2}, {12, 3}}, span{4, 10}, []Row{{0, 1}, {4, 9}, {10, 2}, {12, 3}}},
		"up to a row":   {[]Row{{0, 1}, {8, 2}}, span{4, 8}, []Row{{0, 1}, {4, 9}, {8, 2}}},
		"from a row on": {[]Row{{0, 1}, {8, 2}, {20, 3}}, span{8, 12}, []Row{{0, 1}, {8, 9}, {12, 2}, {20, 3}}},
		"to the end":    {[]Row{{0, 1}}, span{PageSize - 4, PageSize + 4}, []Row{{0, 1}, {PageSize - 4, 9}}},
		"all":           {[]Row{{0, 1}, {8, 2}}, span{0, PageSize}, []Row{{0, 9}}},
		"nothing":       {[]Row{{0, 1}}, span{8, 8}, []Row{{0, 1}}},
		"no rows":       {nil, span{8, 16}, []Row{{8, 9}}},
	} {
		b := &builder{rows: c.rows, hi: PageSize}
		b.overlay(c.s, 9)
		if diff := cmp.Diff(c.want, b.rows); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
