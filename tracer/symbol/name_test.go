// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// sliceReader reads a slice.
type sliceReader struct{ b []byte }

func (r *sliceReader) ReadAt(p []byte, off int64) (int, error) {
	return strings.NewReader(string(r.b)).ReadAt(p, off)
}

func TestReadable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ function, system string }{
		"main":                      {"main", ""},
		"red_leaf.constprop.0":      {"red_leaf", "red_leaf.constprop.0"},
		"red_leaf.isra.0.part.1":    {"red_leaf", "red_leaf.isra.0.part.1"},
		"red_leaf.cold":             {"red_leaf", "red_leaf.cold"},
		"red_leaf.part.0.cold":      {"red_leaf", "red_leaf.part.0.cold"},
		"red_leaf.lto_priv.0":       {"red_leaf", "red_leaf.lto_priv.0"},
		"red_leaf.llvm.12345678":    {"red_leaf", "red_leaf.llvm.12345678"},
		"nested.3":                  {"nested", "nested.3"},
		"main.main.func1":           {"main.main.func1", ""},
		".cold":                     {".cold", ""},
		"_ZN6shapes3Saw3useEm":      {"shapes::Saw::use(unsigned long)", "_ZN6shapes3Saw3useEm"},
		"_ZN6shapes3Saw3useEm.cold": {"shapes::Saw::use(unsigned long)", "_ZN6shapes3Saw3useEm.cold"},
		"_Z5twiceIiET_S0_":          {"int twice<int>(int)", "_Z5twiceIiET_S0_"},
		"_ZN5forge4main17h0123456789abcdefE": {
			"forge::main", "_ZN5forge4main17h0123456789abcdefE",
		},
		"_ZN5forge4main17h0123456789abcdefE.llvm.99": {
			"forge::main", "_ZN5forge4main17h0123456789abcdefE.llvm.99",
		},
		"_RNvC6_123foo3bar":        {"123foo::bar", "_RNvC6_123foo3bar"},
		"_Zbroken":                 {"_Zbroken", ""},
		"_ZN6shapes3Saw3useEm@plt": {"shapes::Saw::use(unsigned long)@plt", "_ZN6shapes3Saw3useEm@plt"},
		"read@plt":                 {"read@plt", ""},
		"bad\xffbyte":              {"bad�byte", ""},
		"line\nbreak":              {"line�break", ""},
	}
	for raw, want := range tests {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			function, system, how := readable(raw)
			if function != want.function || system != want.system || how != (naming{}) {
				t.Errorf("readable = %q, %q, %+v; want %q, %q", function, system, how, want.function, want.system)
			}
		})
	}
}

func TestReadableLong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", maxName)
	function, _, how := readable(long)
	if len(function) > maxName || !how.truncated || !strings.HasSuffix(function, "ä"+cut) || !utf8.ValidString(function) {
		t.Errorf("%d bytes, %+v, ends in %q", len(function), how, function[len(function)-8:])
	}
	// A short name that stands for a long one.
	bomb := "_Z1fI" + strings.Repeat("1aIT_S0_S0_S0_E", 40) + "EvT_"
	if function, _, _ := readable(bomb); len(function) > maxName {
		t.Errorf("%d bytes", len(function))
	}
}

func FuzzReadable(f *testing.F) {
	for _, s := range []string{"_ZN6shapes3Saw3useEm.cold", "_RNvC6_123foo3bar", "a.1.2@plt", "\xff\x00", "_ZN5forge4main17h0123456789abcdefE"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		function, system, _ := readable(raw)
		for _, s := range []string{function, system} {
			if len(s) > maxName || !utf8.ValidString(s) {
				t.Fatalf("%q from %q", s, raw)
			}
		}
		if raw != "" && function == "" {
			t.Fatalf("no name from %q", raw)
		}
	})
}
