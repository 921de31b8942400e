// SPDX-License-Identifier: Apache-2.0

package v8

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded reads testdata/constants.json: what V8's table of constants says in
// Node.js 14 to 26, by version of V8.
func recorded(t testing.TB) map[string]map[string]int32 {
	t.Helper()
	b, err := os.ReadFile("testdata/constants.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string]int32
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func parseVersion(t testing.TB, s string) version {
	t.Helper()
	major, minor, _ := strings.Cut(s, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	if err1 != nil || err2 != nil {
		t.Fatalf("version %q", s)
	}
	return version{uint32(a), uint32(b), 999} //nolint:gosec // small
}

func recordedLayout(t testing.TB, v string) *layout {
	t.Helper()
	l, err := newLayout(parseVersion(t, v), recorded(t)[v])
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLayout compares what must be worked out with what was seen in processes.
func TestLayout(t *testing.T) {
	t.Parallel()
	type places struct {
		Bytecode, Offset, Name, Script, Shared    uint64
		Deopt, Positions, Start, Flags, Size      uint64
		BytecodeData, BytecodePositions           uint64
		Baseline                                  uint32
		Inlined, Literals, DeoptShared, Inlinings int
		Encoding                                  encoding
	}
	want := map[string]places{
		"8.4":  {24, 32, 16, 32, 24, 16, 24, 96, 44, 40, 54, 32, 0, 1, 2, 6, 7, encodingSigned},
		"9.4":  {32, 40, 16, 32, 24, 16, 24, 96, 48, 40, 54, 32, 11, 1, 2, 6, 7, encodingSigned},
		"10.2": {32, 40, 16, 32, 24, 16, 24, 128, 48, 40, 56, 32, 11, 1, 2, 6, 7, encodingSigned},
		"11.3": {32, 40, 16, 32, 24, 16, 24, 40, 48, 56, 54, 32, 11, 1, 2, 6, 7, encodingSigned},
		"12.4": {32, 40, 16, 32, 32, 8, 16, 40, 48, 52, 64, 24, 10, 1, 2, 6, 7, encodingSigned},
		"13.6": {32, 40, 24, 40, 32, 8, 16, 40, 52, 56, 64, 24, 10, 1, 3, 7, 8, encodingSigned},
		"14.6": {32, 40, 24, 40, 32, 8, 16, 40, 52, 56, 64, 24, 11, 1, 3, 7, 8, encodingFlags},
	}
	for _, v := range slices.Sorted(maps.Keys(recorded(t))) {
		l := recordedLayout(t, v)
		w, ok := want[v]
		if !ok {
			continue
		}
		got := places{
			l.frameBytecode, l.frameOffset, l.sharedName, l.sharedScript, l.functionShared,
			l.codeDeopt, l.codePositions, l.codeStart, l.codeFlags, l.codeSize, l.bytecodeData, l.bytecodePositions,
			l.kindBaseline, l.deoptInlined, l.deoptLiterals, l.deoptShared, l.deoptPositions, l.encoding,
		}
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("V8 %s: %s", v, diff)
		}
	}
}

func TestLayoutIncomplete(t *testing.T) {
	t.Parallel()
	if _, err := newLayout(version{12, 9, 1}, nil); !errors.Is(err, errNoConstants) {
		t.Errorf("without a table: %v", err)
	}
	full := recorded(t)["12.4"]
	for name := range full {
		// Whatever is missing or absurd, it is an error or a usable layout.
		for _, value := range []int32{-1 << 31, 1<<31 - 1, -1} {
			c := maps.Clone(full)
			c[name] = value
			if l, err := newLayout(version{12, 4, 254}, c); err == nil && (l.headTooLarge() || l.frameBytecode > 128) {
				t.Errorf("%s = %d gives %+v", name, value, l)
			}
		}
		c := maps.Clone(full)
		delete(c, name)
		if _, err := newLayout(version{12, 4, 254}, c); err != nil && !errors.Is(err, errLayout) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func (l *layout) headTooLarge() bool { return max(l.codeSize, l.codeFlags, l.codeStart) > 512 }

func TestMarkers(t *testing.T) {
	t.Parallel()
	m := recordedLayout(t, "14.6").markers
	for kind, want := range map[uint64]string{24: "(WebAssembly function)", 23: "(regular expression)", 9: "(stub)", 200: "(native code)"} {
		if got := m.name(kind); got != want {
			t.Errorf("frame %d is %q, want %q", kind, got, want)
		}
	}
}

func TestBytecodeSizes(t *testing.T) {
	t.Parallel()
	s := bytecodeSizes{{1, 1, 1, 1, 3}, {1, 1, 1, 1, 5}, {1, 1, 1, 1, 9}}
	for _, c := range []struct {
		code string
		want int
	}{{"\x04", 3}, {"\x00\x04", 6}, {"\x03\x04", 10}, {"\x05", 0}, {"", 0}, {"\x00", 0}} {
		if got := s.at([]byte(c.code)); got != c.want {
			t.Errorf("%x has %d bytes, want %d", c.code, got, c.want)
		}
	}
}
