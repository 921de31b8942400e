// SPDX-License-Identifier: Apache-2.0

package query

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

// parseNow is 2026-11-21 10:00:00.25 UTC.
var parseNow = time.Unix(1_795_255_200, 250_000_000)

func TestParseTime(t *testing.T) {
	t.Parallel()
	const second = libpf.UnixTimeNs(time.Second)
	now := libpf.UnixTimeNs(parseNow.UnixNano())
	for in, want := range map[string]libpf.UnixTimeNs{
		"now":                            now,
		"now-5m":                         now - 300*second,
		"now-1h30m":                      now - 5400*second,
		"now-1d":                         now - 86400*second,
		"now-1w2d3h4m5s6ms":              now - (9*86400+3*3600+4*60+5)*second - 6_000_000,
		"now+10s":                        now + 10*second,
		"now 10s":                        now + 10*second,
		"now-0s":                         now,
		"0":                              0,
		"1795255200":                     1795255200 * second,
		"1795255200.5":                   1795255200*second + second/2,
		"1795255200.000000001":           1795255200*second + 1,
		"1795255200123":                  1795255200*second + 123_000_000,
		"2026-11-21T10:00:00Z":           1795255200 * second,
		"2026-11-21T12:00:00+02:00":      1795255200 * second,
		"2026-11-21T12:00:00 02:00":      1795255200 * second,
		"2026-11-21T10:00:00.123456789Z": 1795255200*second + 123_456_789,
		"1970-01-01T00:00:00Z":           0,
		"2260-12-31T23:59:59Z":           maxSeconds * second,
	} {
		got, err := ParseTime(in, parseNow)
		if err != nil || got != want {
			t.Errorf("%q is %d (%v) instead of %d", in, got, err, want)
		}
	}
	for in, position := range map[string]int{
		"":                    0,
		"nowish":              3,
		"now-":                4,
		"now-5":               5,
		"now-5x":              5,
		"now-5m3":             7,
		"now-m":               4,
		"now-1h x":            6,
		"now*5m":              3,
		"now-99999999999999w": 4,
		"now-9223372036854ms1s9999999999999999999s": 19,
		"now-100000d":           0,
		"yesterday":             0,
		"2026":                  -1, // seconds
		"2026-11":               7,
		"2026-11-21":            10,
		"2026-11-21 10:00:00Z":  10,
		"2026-11-21T10:00:00":   19,
		"2026-11-21T10:00:00+2": 19,
		"2026-13-21T10:00:00Z":  0,
		"1969-12-31T23:59:59Z":  0,
		"2261-01-01T00:00:00Z":  0,
		"-5":                    0,
		"1795255200.":           11,
		"1795255200.1234567890": 11,
		"1.2.3":                 2,
		".":                     0,
		"99999999999999999999":  0,
		"9999999999999999":      0,
	} {
		_, err := ParseTime(in, parseNow)
		if position < 0 {
			if err != nil {
				t.Errorf("%q: %v", in, err)
			}
			continue
		}
		checkSyntaxError(t, in, err, position)
	}
}

func checkSyntaxError(t *testing.T, in string, err error, position int) {
	t.Helper()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) {
		t.Errorf("%q: error %v", in, err)
		return
	}
	if syntax.Position != position {
		t.Errorf("%q: position %d instead of %d: %s", in, syntax.Position, position, syntax.Message)
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"15s": 15 * time.Second, "90": 90 * time.Second, "1m30s": 90 * time.Second, "500ms": 500 * time.Millisecond,
		"1w": 7 * 24 * time.Hour, "1y": 365 * 24 * time.Hour,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%q is %s (%v) instead of %s", in, got, err, want)
		}
	}
	for in, position := range map[string]int{"": 0, "0": 0, "0s": 0, "-5m": 0, "5 m": 1, "1h30": 4, "1µs": 1, "1.5h": 1} {
		_, err := ParseDuration(in)
		checkSyntaxError(t, in, err, position)
	}
}

func TestNiceStep(t *testing.T) {
	t.Parallel()
	for span, want := range map[time.Duration]time.Duration{
		time.Second: time.Second, 15 * time.Minute: 5 * time.Second, time.Hour: 30 * time.Second,
		24 * time.Hour: 10 * time.Minute, 365 * 24 * time.Hour: 48 * time.Hour,
	} {
		if got := NiceStep(span); got != want {
			t.Errorf("step of %s is %s instead of %s", span, got, want)
		}
	}
}

func TestParseSelector(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":         nil,
		"  ":       nil,
		"{}":       nil,
		" { } ":    nil,
		`{a="b"}`:  {`a="b"`},
		`{a="b",}`: {`a="b"`},
		`{service="x", comm=~"y.*",host!="z" , pid!~'1|2'}`: {
			`service="x"`, `comm=~"y.*"`, `host!="z"`, `pid!~"1|2"`,
		},
		`{k8s.pod.name="p",app.kubernetes.io/name="n",x-y="z"}`: {
			`pod="p"`, `app.kubernetes.io/name="n"`, `x-y="z"`,
		},
		`{"a b"="c"}`:                    {`a b="c"`},
		`{a="\"\\\n\x41\u00e9",b='"\''}`: {`a="\"\\\nAé"`, `b="\"'"`},
		"{a=~`\\d+`}":                    {`a=~"\\d+"`},
		`{a="}",b="{,"}`:                 {`a="}"`, `b="{,"`},
		`{a=""}`:                         {`a=""`},
		`{ä="b"}`:                        {"?"},
	} {
		got, err := ParseSelector(in)
		if len(want) == 1 && want[0] == "?" {
			checkSyntaxError(t, in, err, 1)
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		var texts []string
		for _, m := range got {
			texts = append(texts, m.String())
		}
		if diff := cmp.Diff(want, texts); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

func TestParseSelectorErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in       string
		position int
		message  string
	}{
		{"service", 0, `found 's': expected {`},
		{"{", 1, "found the end: expected a label name"},
		{"{,}", 1, "found ',': expected a label name"},
		{"{a", 2, "found the end: expected =, !=, =~ or !~"},
		{"{a}", 2, "found '}': expected =, !=, =~ or !~"},
		{`{a~"b"}`, 2, "found '~': expected =, !=, =~ or !~"},
		{"{a=b}", 3, "found 'b': expected a value in quotes"},
		{`{a="b}`, 3, `quote without an end: expected another "`},
		{"{a=`b}", 3, "quote without an end: expected another `"},
		{`{a="b"`, 6, "found the end: expected , or }"},
		{`{a="b" c="d"}`, 7, "found 'c': expected , or }"},
		{`{a="b"} x`, 8, "found 'x': expected the end"},
		{`{a="\d"}`, 4, `unknown escape: expected one such as \\, \" or \n; regular expressions need \\ for each \`},
		{`{a=~"("}`, 4, `regular expression of a: missing closing ): "("`},
		{`{a=~"x)(y"}`, 4, `regular expression of a: unexpected ): "x)(y"`},
		{`{""="b"}`, 1, "empty label name"},
		{"{" + strings.Repeat(`a="b",`, maxMatchers+1) + "}", 1 + 6*maxMatchers, "more than 64 matchers"},
		{strings.Repeat(" ", maxSelectorBytes+1), maxSelectorBytes, "selector longer than 65536 bytes"},
	} {
		_, err := ParseSelector(test.in)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: error %v", test.in, err)
			continue
		}
		want := &SyntaxError{Position: test.position, Message: test.message}
		if diff := cmp.Diff(want, syntax); diff != "" {
			t.Errorf("%q: %s", test.in, diff)
		}
	}
}

func FuzzParseSelector(f *testing.F) {
	for _, s := range []string{
		"", "{}", `{service="x",comm=~"y.*"}`, "{a=~`\\d`,'b c'!=\"\\u00e9\",}", `{a!~'x|y'} `, `{a="\xff"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		matchers, err := ParseSelector(in)
		if err != nil {
			checkPosition(t, in, err)
			return
		}
		var again strings.Builder
		again.WriteByte('{')
		for _, m := range matchers {
			again.WriteString(strconv.Quote(m.Name) + m.Op.String() + strconv.Quote(m.Value) + ",")
		}
		again.WriteByte('}')
		second, err := ParseSelector(again.String())
		if err != nil {
			if again.Len() > maxSelectorBytes {
				return
			}
			t.Fatalf("%q became %s: %v", in, again.String(), err)
		}
		if len(second) != len(matchers) {
			t.Fatalf("%q became %s", in, again.String())
		}
		for i, m := range matchers {
			if o := second[i]; m.Name != o.Name || m.Op != o.Op || m.Value != o.Value {
				t.Fatalf("%q: %s became %s", in, m, o)
			}
			m.Matches("x")
		}
	})
}

func checkPosition(t *testing.T, in string, err error) {
	t.Helper()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Position < 0 || syntax.Position > len(in) || syntax.Message == "" {
		t.Fatalf("%q: error %#v", in, err)
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{
		"now", "now-5m", "now+1h30m", "now-1d", "2026-11-21T10:00:00Z", "2026-11-21T10:00:00.5+02:00", "1795255200",
		"1795255200123", "1795255200.5", "now-292y", "9999-12-31T23:59:59Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := ParseTime(in, parseNow)
		if err != nil {
			checkPosition(t, in, err)
		} else if got < 0 || got.Time().Year() > 2260 {
			t.Fatalf("%q is %s", in, got)
		}
		if d, err := ParseDuration(in); err != nil {
			checkPosition(t, in, err)
		} else if d <= 0 {
			t.Fatalf("%q is %s", in, d)
		}
	})
}
