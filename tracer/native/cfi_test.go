// SPDX-License-Identifier: Apache-2.0

package native

import (
	"debug/elf"
	"strings"
	"testing"
)

// TestInstructions runs each call frame instruction.
func TestInstructions(t *testing.T) {
	t.Parallel()
	const adv4 = cfaAdvanceLoc | 4
	for name, c := range map[string]struct {
		prog []byte
		want string // without the invalid rest behind the function
	}{
		"nothing":             {nil, "0 sp+8 n=0"},
		"nop":                 {[]byte{cfaNop, cfaNop}, "0 sp+8 n=0"},
		"push, pop":           {[]byte{adv4, cfaDefCFAOffset, 16, adv4, cfaDefCFAOffset, 8}, "0 sp+8 n=0; 4 sp+16 n=0; 8 sp+8 n=0"},
		"frame pointer":       {[]byte{cfaAdvanceLoc | 1, cfaDefCFAOffset, 16, cfaOffset | 6, 2, cfaAdvanceLoc | 3, cfaDefCFARegister, 6, adv4, cfaDefCFA, 7, 8}, "0 sp+8 n=0; 1 sp+16 n=1; 4 fp+16 n=1; 8 sp+8 n=1"},
		"restore":             {[]byte{cfaOffset | 6, 2, adv4, cfaRestore | 6}, "0 sp+8 n=1; 4 sp+8 n=0"},
		"restore_extended":    {[]byte{cfaOffsetExtended, 6, 3, adv4, cfaRestoreExtended, 6}, "0 sp+8 n=2; 4 sp+8 n=0"},
		"advance 1, 2, 4, 8":  {[]byte{cfaAdvanceLoc1, 4, cfaDefCFAOffset, 16, cfaAdvanceLoc2, 4, 0, cfaDefCFAOffset, 24, cfaAdvanceLoc4, 4, 0, 0, 0, cfaDefCFAOffset, 32, cfaAdvanceLoc8, 4, 0, 0, 0, 0, 0, 0, 0, cfaDefCFAOffset, 40}, "0 sp+8 n=0; 4 sp+16 n=0; 8 sp+24 n=0; c sp+32 n=0; 10 sp+40 n=0"},
		"set_loc":             {append(append([]byte{cfaSetLoc}, code(8, 0)[:8]...), cfaDefCFAOffset, 16), "0 sp+8 n=0; 8 sp+16 n=0"},
		"remember":            {[]byte{cfaRememberState, adv4, cfaDefCFAOffset, 24, cfaOffset | 6, 2, adv4, cfaRestoreState}, "0 sp+8 n=0; 4 sp+24 n=1; 8 sp+8 n=0"},
		"undefined RA":        {[]byte{cfaUndefined, 16}, "0 stop"},
		"undefined FP":        {[]byte{cfaUndefined, 6}, "0 cfa=r7+8 ra=default fp=lost"},
		"same value":          {[]byte{cfaOffset | 6, 2, adv4, cfaSameValue, 6}, "0 sp+8 n=1; 4 sp+8 n=0"},
		"others":              {[]byte{cfaOffset | 3, 2, adv4, cfaUndefined, 3, cfaSameValue, 12, cfaRestore | 3}, "0 sp+8 n=0"},
		"offset_extended_sf":  {[]byte{cfaOffsetExtendedSF, 6, 2}, "0 sp+8 n=1"},
		"negative_offset":     {[]byte{cfaNegativeOffset, 6, 2}, "0 cfa=r7+8 ra=default fp=*(cfa+16)"},
		"def_cfa_sf":          {[]byte{cfaDefCFASF, 6, 0x7e}, "0 fp+16 n=0"},
		"def_cfa_offset_sf":   {[]byte{cfaDefCFAOffsetSF, 0x7d}, "0 sp+24 n=0"},
		"other base":          {[]byte{cfaDefCFA, 10, 0}, "0 cfa=r10+0 ra=default fp=same"},
		"base too high":       {[]byte{cfaDefCFA, 32, 8}, "0 invalid"},
		"large frame":         {[]byte{cfaDefCFAOffset, 0xf8, 0x1f, adv4, cfaDefCFAOffset, 0x80, 0x20}, "0 sp+4088 n=0; 4 cfa=r7+4096 ra=default fp=same"},
		"odd offset":          {[]byte{cfaDefCFAOffset, 12}, "0 cfa=r7+12 ra=default fp=same"},
		"far FP":              {[]byte{cfaOffset | 6, 32, adv4, cfaOffset | 6, 33}, "0 sp+8 n=31; 4 cfa=r7+8 ra=default fp=*(cfa-264)"},
		"FP in a register":    {[]byte{cfaRegister, 6, 3}, "0 cfa=r7+8 ra=default fp=lost"},
		"RA in a register":    {[]byte{cfaRegister, 16, 5}, "0 cfa=r7+8 ra=r5 fp=same"},
		"RA in a vector":      {[]byte{cfaRegister, 16, 40}, "0 invalid"},
		"RA elsewhere":        {[]byte{cfaOffset | 16, 3}, "0 cfa=r7+8 ra=*(cfa-24) fp=same"},
		"RA by an expression": {[]byte{cfaExpression, 16, 2, opBreg0 + 7, 0x30}, "0 cfa=r7+8 ra=*(cfa+40) fp=same"},
		"RA not relative":     {[]byte{cfaExpression, 16, 2, opBreg0 + 3, 8}, "0 invalid"},
		"RA lost":             {[]byte{cfaSameValue, 16}, "0 invalid"},
		"SP elsewhere":        {[]byte{cfaRegister, 7, 8, adv4, cfaRestore | 7}, "0 invalid; 4 sp+8 n=0"},
		"SP is the CFA":       {[]byte{cfaValOffset, 7, 0}, "0 sp+8 n=0"},
		"SP is not the CFA":   {[]byte{cfaValOffset, 7, 1}, "0 invalid"},
		"val_offset":          {[]byte{cfaValOffset, 6, 2, adv4, cfaValOffsetSF, 3, 1}, "0 cfa=r7+8 ra=default fp=lost"},
		"val_expression":      {[]byte{cfaValExpression, 6, 2, opBreg0 + 6, 8}, "0 cfa=r7+8 ra=default fp=lost"},
		"args_size":           {[]byte{cfaArgsSize, 16, cfaWindowSave, cfaNegateRAStatePC}, "0 sp+8 n=0"},
		"linkage table": {
			[]byte{cfaDefCFAExpression, 11, opBreg0 + 7, 8, opBreg0 + 16, 0, opLit0 + 15, opAnd, opLit0 + 11, opGe, opLit0 + 3, opShl, opPlus},
			"0 plt",
		},
		"realigned": {
			[]byte{cfaDefCFA, 10, 0, adv4, cfaExpression, 6, 2, opBreg0 + 6, 0, adv4, cfaDefCFAExpression, 3, opBreg0 + 6, 0x78, opDeref, adv4, cfaDefCFA, 7, 8},
			"0 cfa=r10+0 ra=default fp=same; 4 cfa=r10+0 ra=default fp=*(fp+0); 8 cfa=*(r6-8)+0 ra=default fp=*(fp+0); c sp+8 n=0",
		},
		"OpenSSL": {
			[]byte{cfaDefCFAExpression, 6, opBreg0 + 7, 0x98, 0x01, opDeref, opPlusUconst, 8, cfaOffset | 6, 3},
			"0 cfa=*(r7+152)+8 ra=default fp=*(cfa-24)",
		},
		"FP relative to a stored CFA": {
			[]byte{
				cfaDefCFAExpression, 5, opBreg0 + 7, 8, opDeref, opPlusUconst, 8,
				cfaExpression, 6, 5, opBreg0 + 7, 8, opDeref, opLit0 + 16, opMinus,
			},
			"0 cfa=*(r7+8)+8 ra=default fp=*(cfa-24)",
		},
		"constants":             {[]byte{cfaDefCFAExpression, 9, opBreg0 + 7, 8, opConst1u, 8, opPlus, opConst2s, 0xff, 0xff, opMinus}, "0 cfa=r7+17 ra=default fp=same"},
		"two dereferences":      {[]byte{cfaDefCFAExpression, 4, opBreg0 + 7, 8, opDeref, opDeref}, "0 invalid"},
		"unknown expression":    {[]byte{cfaDefCFAExpression, 3, opBreg0 + 7, 8, 0x1e}, "0 invalid"},
		"register behind it":    {[]byte{cfaDefCFAExpression, 3, opBreg0 + 7, 8, opDeref, cfaDefCFARegister, 6}, "0 invalid"},
		"offset behind it":      {[]byte{cfaDefCFAExpression, 3, opBreg0 + 7, 8, opDeref, cfaDefCFAOffset, 6}, "0 invalid"},
		"signal frame by hand":  {[]byte{cfaDefCFAExpression, 4, opBreg0 + 7, 0xa0, 0x01, opDeref, cfaExpression, 16, 3, opBreg0 + 7, 0xa8, 0x01}, "0 invalid"},
		"advance by 0":          {[]byte{cfaAdvanceLoc, cfaDefCFAOffset, 16}, "0 sp+16 n=0"},
		"beyond the end":        {[]byte{cfaAdvanceLoc1, 0x40, cfaDefCFAOffset, 16}, "0 sp+8 n=0"},
		"malformed: unknown":    {[]byte{adv4, cfaDefCFAOffset, 16, adv4, 0x3c}, "0 sp+8 n=0; 4 sp+16 n=0; 8 invalid"},
		"malformed: backwards":  {append(append([]byte{adv4, cfaDefCFAOffset, 16, cfaSetLoc}, code(0, 0)[:8]...), cfaDefCFAOffset, 16), "0 sp+8 n=0; 4 invalid"},
		"malformed: no memory":  {[]byte{adv4, cfaRestoreState}, "0 sp+8 n=0; 4 invalid"},
		"malformed: long block": {[]byte{adv4, cfaDefCFAExpression, 0x7f}, "0 sp+8 n=0; 4 invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tables, rules := openImage(t, oneFDE(elf.EM_X86_64, stdCIE, c.prog))
			want := c.want
			if !strings.HasSuffix(want, "invalid") {
				want += "; 40 invalid"
			}
			if got := textRows(t, tables, rules); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if bad := tables.Stats().BadEntries != 0; bad != strings.HasPrefix(name, "malformed") {
				t.Errorf("%+v", tables.Stats())
			}
		})
	}
}

func TestInstructionsARM64(t *testing.T) {
	t.Parallel()
	const adv1 = cfaAdvanceLoc | 1 // 4 bytes
	for name, c := range map[string]struct {
		prog []byte
		want string
	}{
		"leaf":                  {nil, "0 sp+0 n=0"},
		"leaf with room":        {[]byte{adv1, cfaDefCFAOffset, 32}, "0 sp+0 n=0; 4 sp+32 n=0"},
		"record at the bottom":  {[]byte{adv1, cfaDefCFAOffset, 32, cfaOffset | 29, 4, cfaOffset | 30, 3, adv1, cfaDefCFARegister, 29}, "0 sp+0 n=0; 4 sp+32 n=1; 8 fp+32 n=1"},
		"record at the top":     {[]byte{cfaDefCFAOffset, 64, cfaOffset | 29, 2, cfaOffset | 30, 1}, "0 sp+64 n=2"},
		"record in the middle":  {[]byte{cfaDefCFAOffset, 64, cfaOffset | 29, 4, cfaOffset | 30, 3}, "0 sp+64 n=3"},
		"no record":             {[]byte{cfaDefCFAOffset, 32, cfaOffset | 30, 4}, "0 cfa=r31+32 ra=*(cfa-32) fp=same"},
		"apart":                 {[]byte{cfaDefCFAOffset, 32, cfaOffset | 29, 1, cfaOffset | 30, 4}, "0 cfa=r31+32 ra=*(cfa-32) fp=*(cfa-8)"},
		"signed return address": {[]byte{cfaWindowSave, adv1, cfaDefCFAOffset, 16, cfaOffset | 29, 2, cfaOffset | 30, 1}, "0 sp+0 n=0; 4 sp+16 n=1"},
		"root":                  {[]byte{cfaUndefined, 30}, "0 stop"},
		"RA in a register":      {[]byte{cfaRegister, 30, 9}, "0 cfa=r31+0 ra=r9 fp=same"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tables, rules := openImage(t, oneFDE(elf.EM_AARCH64, armCIE, c.prog))
			want := c.want
			if !strings.HasSuffix(want, "invalid") {
				want += "; 40 invalid"
			}
			if got := textRows(t, tables, rules); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if bad := tables.Stats().BadEntries != 0; bad != strings.HasPrefix(name, "malformed") {
				t.Errorf("%+v", tables.Stats())
			}
		})
	}
}
