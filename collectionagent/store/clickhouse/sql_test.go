// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// hostile are texts that would break out of a careless statement.
var hostile = []string{
	"", "'", "''", `\`, `\'`, `\\'`, "`", "``", `"`, "' OR 1=1 --", "'; DROP TABLE samples; --", "x') OR (1=1", "*/ /*", "-- ", "#",
	"\x00", "a\x00b", "\n'\r\t\b\f", "\xff\xfe'", "\xc0\xa7", "ʼ", "’", "＇", "日本語'", "{x:String}", "$1 ?", "?", "@p", "%' , %", "$$", "\x1a",
	`\x27`, `\u0027`, `'||version()||'`, strings.Repeat("'", 100), strings.Repeat(`\`, 101), "NULL", "0x27", "\u2028",
}

// token is a part of a statement, as the tokenizer of a server sees it.
type token struct {
	quote byte // ' or `, 0 for anything else
	value string
}

// tokens splits a statement into what is quoted and what is not. It knows the
// escapes of the server's grammar and fails on anything that it would not accept.
func tokens(t testing.TB, s string) []token {
	t.Helper()
	var all []token
	var plain strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\'' && s[i] != '`' {
			if s[i] < 0x20 || s[i] >= 0x7f {
				t.Fatalf("byte %#x outside of quotes in %q", s[i], s)
			}
			plain.WriteByte(s[i])
			continue
		}
		quote := s[i]
		var value strings.Builder
		for i++; ; i++ {
			if i >= len(s) {
				t.Fatalf("quote does not end in %q", s)
			}
			if s[i] == quote {
				break
			}
			if s[i] != '\\' {
				value.WriteByte(s[i])
				continue
			}
			if i+3 >= len(s) || s[i+1] != 'x' {
				t.Fatalf("unexpected escape in %q", s)
			}
			b, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
			if err != nil {
				t.Fatalf("escape in %q: %v", s, err)
			}
			value.WriteByte(byte(b))
			i += 3
		}
		all = append(all, token{0, plain.String()}, token{quote, value.String()})
		plain.Reset()
	}
	return append(all, token{0, plain.String()})
}

// shape returns what is not quoted, and the quoted texts.
func shape(t testing.TB, s string) (plain string, quoted []string) {
	var b strings.Builder
	for _, tok := range tokens(t, s) {
		if tok.quote == 0 {
			b.WriteString(tok.value)
		} else {
			b.WriteByte(tok.quote)
			quoted = append(quoted, tok.value)
		}
	}
	return b.String(), quoted
}

// FuzzLiteral checks that texts come out of a literal as they went in, and that
// nothing of them stands outside of it.
func FuzzLiteral(f *testing.F) {
	for _, v := range hostile {
		f.Add(v, v)
	}
	f.Fuzz(func(t *testing.T, value, name string) {
		var s statement
		s.add("a ").str(value).add(" b ").ident(name).add(" c ").strs([]string{value, name})
		plain, quoted := shape(t, s.String())
		if want := "a ' b ` c (',')"; plain != want {
			t.Fatalf("%q outside of quotes, want %q", plain, want)
		}
		if want := []string{value, name, value, name}; !slices.Equal(quoted, want) {
			t.Fatalf("quoted %q, want %q", quoted, want)
		}
	})
}

// statements returns every statement that holds texts from outside, made with v
// in all places.
func statements(t testing.TB, l layout, v string) []string {
	t.Helper()
	matcher := func(op store.MatchOp) *store.Matcher {
		m, err := store.NewMatcher(v, op, v)
		if err != nil {
			return &store.Matcher{Name: v, Op: store.MatchEqual, Value: v}
		}
		return m
	}
	q := &store.Query{
		Project: v, Type: libpf.SampleOnCPU, From: 0, To: 1e18, Step: 1e9, ByStack: true,
		Matchers: []*store.Matcher{
			matcher(store.MatchEqual), matcher(store.MatchNotEqual), matcher(store.MatchRegexp), matcher(store.MatchNotRegexp),
			{Name: store.LabelService, Op: store.MatchEqual, Value: v}, {Name: store.LabelTID, Op: store.MatchNotEqual, Value: v},
		},
		GroupBy: []string{v, store.LabelHost, store.LabelPID},
	}
	copy16, copy8 := [16]byte{}, [8]byte{}
	copy(copy16[:], v)
	copy(copy8[:], v)
	q.TraceIDs, q.SpanIDs = [][16]byte{copy16}, [][8]byte{copy8}
	p := &plan{layout: &l, view: &view{hidden: []hiddenInsert{{ins: 7, span: span{0, 1e12}}}}, pieces: []piece{
		{tableSamples, 0, 5}, {tableMinutes, 60000, 120000}, {tableHours, 3600000, 7200000},
	}}
	return []string{string(p.sums(q, l.groupOf(q.GroupBy)))}
}

// TestInjection makes statements with hostile texts in every place and compares
// what is outside of quotes with a statement made with harmless ones.
func TestInjection(t *testing.T) {
	for _, l := range []layout{{database: "db"}, {database: "db", legacy: true}, {database: "db", cluster: "c"}} {
		for _, v := range hostile {
			if v == "" {
				continue
			}
			for i, got := range statements(t, l, v) {
				plain, quoted := shape(t, got)
				// An expression may become a list of texts, or not parse and be one text.
				want := map[string]bool{}
				for _, harmless := range []string{"harmless", "h.*", "(", "h|h", strings.Repeat("h|", strings.Count(v, "|")) + "h"} {
					other, _ := shape(t, statements(t, l, harmless)[i])
					want[other] = true
				}
				if !want[plain] {
					t.Errorf("%q changes the statement:\n%s", v, plain)
				}
				if !slices.Contains(quoted, v) {
					t.Errorf("%q is not in the statement as it is:\n%s", v, got)
				}
			}
		}
	}
}

// FuzzStatement does the same with any text.
func FuzzStatement(f *testing.F) {
	for _, v := range hostile {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, l := range []layout{{database: "db"}, {database: "db", legacy: true}} {
			for _, s := range statements(t, l, v) {
				plain, _ := shape(t, s)
				if strings.ContainsAny(plain, `"\;#{}?@$%|`) || strings.Contains(plain, "--") || strings.Contains(plain, "/*") {
					t.Errorf("%q gets out of its quotes: %s", v, plain)
				}
			}
		}
	})
}

func TestNumbers(t *testing.T) {
	var s statement
	s.add("a-").int(-5).add(" ").int(7).add(" ").uint(1 << 63).add(" ").uints([]uint64{1, 2})
	if got, want := s.String(), "a-(-5) 7 9223372036854775808 (1,2)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAnchored checks the forms that patterns get. That they match the same is
// checked against a server.
func TestAnchored(t *testing.T) {
	for pattern, want := range map[string]string{
		"":             `^(?-s:(?:))$`,
		"a.*":          `^(?-s:(?-s:a.*))$`,
		"(?P<n>a)(b)":  `^(?-s:ab)$`,
		"(?i)a|b":      `^(?-s:[ABab])$`,
		`\Qa.b\E`:      `^(?-s:a\.b)$`,
		"(?s).":        `^(?-s:(?s:.))$`,
		"x{2,3}":       `^(?-s:x{2,3})$`,
		`\d+`:          `^(?-s:[0-9]+)$`,
		"[[:alpha:]]?": `^(?-s:[A-Za-z]?)$`,
	} {
		if got := anchored(pattern); got != want {
			t.Errorf("%q becomes %q, want %q", pattern, got, want)
		}
	}
	for pattern, want := range map[string][]string{
		"web|db": {"web", "db"}, "": {""}, "a|": {"a", ""}, "a.b": nil, "(a)": nil, "a|b*": nil, "日|本": {"日", "本"},
	} {
		if got := alternatives(pattern); !slices.Equal(got, want) {
			t.Errorf("alternatives of %q: %q, want %q", pattern, got, want)
		}
	}
}

// FuzzPattern checks that every pattern that we take becomes one that means the
// same to our own engine.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{"a.*b", "(?i)x|yz", `\pL+\b`, "(?s).", "a{0,3}?", "^a$", "(?m)^a$", "[^a-c]", `\x{10FFFF}`, "a|b||c"} {
		f.Add(p, "abc")
	}
	f.Fuzz(func(t *testing.T, pattern, value string) {
		m, err := store.NewMatcher("l", store.MatchRegexp, pattern)
		if err != nil || !utf8.ValidString(pattern) || len(pattern) > 100 {
			return
		}
		got := false
		if values := alternatives(pattern); values != nil {
			got = slices.Contains(values, value)
		} else if got, err = matchAnchored(anchored(pattern), value); err != nil {
			t.Fatalf("%q became %q: %v", pattern, anchored(pattern), err)
		}
		if want := m.Matches(value); got != want {
			t.Errorf("%q on %q: %v, want %v (as %q)", pattern, value, got, want, anchored(pattern))
		}
	})
}

// TestAlter checks on which servers a statement that changes a table runs.
func TestAlter(t *testing.T) {
	for _, c := range []struct {
		layout layout
		want   string
	}{
		{layout{database: "db"}, "ALTER TABLE `db`.`samples`"},
		{layout{database: "db", cluster: "c"}, "ALTER TABLE `db`.`samples_local` ON CLUSTER `c`"},
		{layout{database: "db", cluster: "c", legacy: true}, "ALTER TABLE `db`.`samples_local`"},
	} {
		if got := strings.Join(strings.Fields(c.layout.alter(tableSamples).String()), " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.layout, got, c.want)
		}
	}
}
