// SPDX-License-Identifier: Apache-2.0

package query

import (
	"errors"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

const (
	// maxSelectorBytes bounds the work that a selector from outside can cause.
	maxSelectorBytes = 64 << 10
	maxMatchers      = 64
	// maxRegexpSize bounds what all regular expressions of a selector are compiled
	// to, in steps of a program: a{1000} is a thousand. Each takes 40 bytes, and a
	// match may try all of them at each letter.
	maxRegexpSize = 1 << 15
)

// ParseSelector reads a selector:
//
//	{service="checkout",comm=~"worker-.*",host!="a"}
//
// The operators are = and != for text, =~ and !~ for regular expressions in RE2
// syntax, which are anchored at both ends. Values, and names that hold more
// than letters, digits and _ . / -, are in double or single quotes with Go's
// escapes, or in back-quotes as they are. An empty text or {} selects
// everything; a comma may follow the last matcher. Errors are a [*SyntaxError].
func ParseSelector(s string) ([]*store.Matcher, error) {
	p := selectorParser{text: s}
	if len(s) > maxSelectorBytes {
		return nil, syntaxErrorf(maxSelectorBytes, "selector longer than %d bytes", maxSelectorBytes)
	}
	p.space()
	if p.end() {
		return nil, nil
	}
	if err := p.expect("{", "{"); err != nil {
		return nil, err
	}
	var matchers []*store.Matcher
	for {
		p.space()
		if p.accept("}") {
			break
		}
		if len(matchers) == maxMatchers {
			return nil, syntaxErrorf(p.pos, "more than %d matchers", maxMatchers)
		}
		m, err := p.matcher()
		if err != nil {
			return nil, err
		}
		matchers = append(matchers, m)
		p.space()
		if p.accept("}") {
			break
		}
		if err := p.expect(",", ", or }"); err != nil {
			return nil, err
		}
	}
	p.space()
	if !p.end() {
		return nil, p.unexpected("the end")
	}
	return matchers, nil
}

type selectorParser struct {
	text string
	pos  int
	// regexps is the size of the regular expressions so far.
	regexps int
}

// regexpSize returns about how many steps an expression is compiled to; once above
// [maxRegexpSize] it stops counting.
func regexpSize(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n = min(n+regexpSize(sub), maxRegexpSize+1)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, maxRegexpSize+1)
}

func (p *selectorParser) rest() string { return p.text[p.pos:] }

func (p *selectorParser) end() bool { return p.pos == len(p.text) }

func (p *selectorParser) space() {
	p.pos += spanOf(p.rest(), func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' })
}

func (p *selectorParser) accept(token string) bool {
	if !strings.HasPrefix(p.rest(), token) {
		return false
	}
	p.pos += len(token)
	return true
}

func (p *selectorParser) expect(token, what string) error {
	if !p.accept(token) {
		return p.unexpected(what)
	}
	return nil
}

// unexpected returns the error for text that is not what it should be.
func (p *selectorParser) unexpected(expected string) error {
	if p.end() {
		return syntaxErrorf(p.pos, "found the end: expected %s", expected)
	}
	return syntaxErrorf(p.pos, "found %q: expected %s", firstRune(p.rest()), expected)
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

func (p *selectorParser) matcher() (*store.Matcher, error) {
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	p.space()
	op, err := p.operator()
	if err != nil {
		return nil, err
	}
	p.space()
	start := p.pos
	value, err := p.quoted("a value in quotes")
	if err != nil {
		return nil, err
	}
	if op == store.MatchRegexp || op == store.MatchNotRegexp {
		if err := p.checkRegexp(start, name, value); err != nil {
			return nil, err
		}
	}
	m, err := store.NewMatcher(store.LabelNamed(name), op, value)
	if err != nil {
		return nil, syntaxErrorf(start, "%s", err.Error())
	}
	return m, nil
}

// checkRegexp checks an expression that starts at an offset of the text.
func (p *selectorParser) checkRegexp(start int, name, value string) error {
	// It is wrapped in a group later; on its own it must be whole.
	re, err := syntax.Parse(value, syntax.Perl)
	if err != nil {
		return syntaxErrorf(start, "regular expression of %s: %s", name, regexpMessage(err))
	}
	if p.regexps += regexpSize(re); p.regexps > maxRegexpSize {
		return syntaxErrorf(start, "regular expressions are too large with that of %s: expected fewer repetitions", name)
	}
	return nil
}

// regexpMessage returns what is wrong with an expression, without the expression
// where it is known to the reader anyway.
func regexpMessage(err error) string {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	return e.Code.String() + ": " + strconv.Quote(e.Expr)
}

func (p *selectorParser) name() (string, error) {
	start := p.pos
	if !p.end() && strings.IndexByte("\"'`", p.text[p.pos]) >= 0 {
		name, err := p.quoted("a label name")
		if err == nil && name == "" {
			err = syntaxErrorf(start, "empty label name")
		}
		return name, err
	}
	n := spanOf(p.rest(), isNameByte)
	if n == 0 {
		return "", p.unexpected("a label name")
	}
	p.pos += n
	return p.text[start:p.pos], nil
}

// isNameByte reports whether a label name may hold the byte without quotes.
// Names of OpenTelemetry and Kubernetes hold dots, slashes and dashes.
func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '_' || c == '.' || c == '/' || c == '-'
}

func (p *selectorParser) operator() (store.MatchOp, error) {
	switch {
	case p.accept("=~"):
		return store.MatchRegexp, nil
	case p.accept("!~"):
		return store.MatchNotRegexp, nil
	case p.accept("!="):
		return store.MatchNotEqual, nil
	case p.accept("="):
		return store.MatchEqual, nil
	}
	return 0, p.unexpected("=, !=, =~ or !~")
}

// quoted reads a text in quotes.
func (p *selectorParser) quoted(what string) (string, error) {
	start := p.pos
	if p.end() || strings.IndexByte("\"'`", p.text[p.pos]) < 0 {
		return "", p.unexpected(what)
	}
	quote := p.text[p.pos]
	p.pos++
	if quote == '`' {
		n := strings.IndexByte(p.rest(), '`')
		if n < 0 {
			return "", syntaxErrorf(start, "quote without an end: expected another `")
		}
		value := p.rest()[:n]
		p.pos += n + 1
		return value, nil
	}
	var value strings.Builder
	for !p.end() {
		rest := p.rest()
		if rest[0] == quote {
			p.pos++
			return value.String(), nil
		}
		if rest[0] != '\\' {
			value.WriteByte(rest[0])
			p.pos++
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return "", syntaxErrorf(p.pos, `unknown escape: expected one such as \\, \" or \n; regular expressions need \\ for each \`)
		}
		if multibyte {
			value.WriteRune(r)
		} else {
			value.WriteByte(byte(r)) //nolint:gosec // UnquoteChar says that it is a byte
		}
		p.pos = len(p.text) - len(tail)
	}
	return "", syntaxErrorf(start, "quote without an end: expected another %c", quote)
}
