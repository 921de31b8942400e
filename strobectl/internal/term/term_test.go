// SPDX-License-Identifier: Apache-2.0

package term

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestFitName(t *testing.T) {
	t.Parallel()
	o := &Out{Unicode: true}
	for _, test := range []struct {
		name  string
		width int
		want  string
	}{
		{"main.work", 20, "main.work"},
		{"std::vector<int, std::allocator<int>>::push_back(int&&)", 40, "std::vector<>::push_back()"},
		{"std::vector<int>::push_back(std::string const&)", 34, "std::vector<int>::push_back()"},
		{"github.com/example/long/path/to/pkg.(*Server).Handle", 30, "github.com/exam….(*Server).Handle"},
		{"(anonymous namespace)::f(int)", 26, "(anonymous namespace)::f()"},
		{"Foo::operator()(int, int, int)", 20, "Foo::operator()()"},
		{"операция.выполнить", 11, "опера…лнить"},
		{"日本語の関数名", 9, "日本…数名"},
		{"abcdef", 4, "abcd"},
		{"a(b", 2, "a("},
		{"x", 0, ""},
	} {
		got := o.FitName(test.name, test.width)
		if Width(got) > test.width {
			t.Errorf("%s in %d: %q is %d wide", test.name, test.width, got, Width(got))
		}
		if test.name != "github.com/example/long/path/to/pkg.(*Server).Handle" && got != test.want {
			t.Errorf("%s in %d: %q instead of %q", test.name, test.width, got, test.want)
		}
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	o := &Out{Unicode: true}
	for _, test := range []struct {
		share float64
		want  string
	}{{0, ""}, {1, "████"}, {0.5, "██"}, {0.53, "██▏"}, {0.0001, "▏"}, {7, "████"}, {-1, ""}} {
		if got := o.Bar(test.share, 4); got != test.want {
			t.Errorf("%g: %q instead of %q", test.share, got, test.want)
		}
	}
	if got := (&Out{}).Bar(0.5, 4); got != "##" {
		t.Errorf("%q", got)
	}
}

func TestNewOut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		when string
		env  map[string]string
		want Depth
	}{
		"a file has none":  {"auto", map[string]string{"TERM": "xterm-256color"}, NoColour},
		"always":           {"always", map[string]string{"TERM": "xterm-256color"}, Colours256},
		"always true":      {"always", map[string]string{"COLORTERM": "truecolor"}, TrueColour},
		"always and dumb":  {"always", map[string]string{"TERM": "dumb"}, Colours16},
		"always, NO_COLOR": {"always", map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, Colours16},
		"never":            {"never", map[string]string{"COLORTERM": "truecolor"}, NoColour},
	} {
		o := NewOut(&bytes.Buffer{}, test.when, func(name string) string { return test.env[name] })
		if o.Colour != test.want || o.TTY || !o.Unicode || o.Width != DefaultWidth {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if o := NewOut(&bytes.Buffer{}, "auto", func(string) string { return "72" }); o.Width != 72 {
		t.Errorf("COLUMNS: %d", o.Width)
	}
}

func TestPaint(t *testing.T) {
	t.Parallel()
	style := Style{Bold: true, FG: &Colour{R: 255, G: 128, Basic: 9}, BG: &Colour{B: 255, Basic: 4}}
	for depth, want := range map[Depth]string{
		NoColour: "x", Colours16: "\x1b[1;91;44mx\x1b[0m", Colours256: "\x1b[1;38;5;208;48;5;21mx\x1b[0m",
		TrueColour: "\x1b[1;38;2;255;128;0;48;2;0;0;255mx\x1b[0m",
	} {
		if got := (&Out{Colour: depth}).Paint(style, "x"); got != want {
			t.Errorf("%d: %q instead of %q", depth, got, want)
		}
	}
}

func TestReadKey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]Key{
		"q":             {"q"},
		"\x1b[A\x1b[B":  {KeyUp, KeyDown},
		"\x1bOH\x1b[6~": {KeyHome, KeyPageDown},
		"\x1b":          {KeyEscape},
		"\x1bq":         {KeyEscape, "q"},
		"äß":            {"ä", "ß"},
		"\r\n\x7f\x03":  {KeyEnter, KeyEnter, KeyBackspace, KeyInterrupt},
		"\x1b[1;5Cx":    {KeyUnknown, "x"},
		"\xffa":         {KeyUnknown, "a"},
		"\x1b[12":       {KeyUnknown},
	} {
		var got []Key
		for b := []byte(in); len(b) > 0; {
			key, n := ReadKey(b, true)
			if n == 0 {
				t.Fatalf("%q: nothing of %q", in, b)
			}
			got, b = append(got, key), b[n:]
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", in, d)
		}
	}
	for _, in := range []string{"\x1b", "\x1b[", "\x1b[1", "\xc3"} {
		if key, n := ReadKey([]byte(in), false); n != 0 {
			t.Errorf("%q: %q without waiting for more", in, key)
		}
	}
}

// FuzzReadKey takes any bytes, a step at a time.
func FuzzReadKey(f *testing.F) {
	f.Add([]byte("q\x1b[A\x1bOP\xc3\xa4\x1b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			_, n := ReadKey(b, true)
			if n <= 0 || n > len(b) {
				t.Fatalf("%d bytes of %d", n, len(b))
			}
			b = b[n:]
		}
	})
}

// FuzzFit makes any name fit and harmless.
func FuzzFit(f *testing.F) {
	f.Add("std::map<a, b>::f(int)\x1b[2J", 10, true)
	f.Fuzz(func(t *testing.T, name string, width int, unicodeToo bool) {
		width %= 200
		clean := Clean(name)
		for _, r := range clean {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("%q has %q", clean, r)
			}
		}
		o := &Out{Unicode: unicodeToo}
		for _, got := range []string{o.Fit(clean, width), o.FitName(clean, width)} {
			if Width(got) > max(width, 0) {
				t.Errorf("%q is wider than %d", got, width)
			}
			if strings.ContainsRune(got, 0x1b) {
				t.Errorf("%q", got)
			}
		}
	})
}

func TestASCII(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	text := "3 µs a, b, … 日本 e\u0301 ok\n"
	if n, err := (ascii{&b}).Write([]byte(text)); err != nil || n != len(text) {
		t.Error(n, err)
	}
	if got, want := b.String(), "3 us a, b, . ???? e ok\n"; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
}
