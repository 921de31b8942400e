// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"regexp"
	"strings"
)

// pprofUnits are those that profilers write and pprof reads, which are not of UCUM.
var pprofUnits = set("count nanoseconds microseconds milliseconds seconds minutes hours days nanosecond microsecond millisecond second " +
	"bytes byte kilobytes megabytes gigabytes objects samples cycles instructions events goroutines contentions threads percent")

// Atoms of UCUM that measurements of programs have, and those of them that take a prefix.
var (
	atoms    = set("% m g s A K mol cd rad By bit Bd Hz V W J N Pa Cel Ohm S F C H T Wb lm lx min h d wk mo a deg")
	prefixed = set("m g s A K mol cd rad By bit Bd Hz V W J N Pa Cel Ohm S F C H T Wb lm lx")
	prefixes = strings.Fields("da Ki Mi Gi Ti Pi Ei Y Z E P T G M k h d c m u n p f a z y")
)

func set(words string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		out[w] = true
	}
	return out
}

// maxUnit is longer than any unit that makes sense.
const maxUnit = 64

// unit checks a unit, if there is one.
func (c *checker) unit(i int32, field string) {
	if u := c.textOf(i); u != "" && (len(u) > maxUnit || !pprofUnits[u] && !isUCUM(u)) {
		c.find(ruleUnit, field, "%.100q is no unit of UCUM or pprof", u)
	}
}

// annotation is a remark in a unit. It stands for 1.
var annotation = regexp.MustCompile(`\{[^{}]*\}`)

// isUCUM reports whether a text is a unit such as By, ms, KiBy, m/s2, {request} or By/{op}.
// It knows the units that measurements of programs have.
func isUCUM(unit string) bool {
	if strings.HasSuffix(unit, "/") || strings.HasSuffix(unit, ".") {
		return false
	}
	unit = annotation.ReplaceAllString(unit, "1")
	for _, term := range strings.FieldsFunc(unit, func(r rune) bool { return r == '/' || r == '.' }) {
		if !isTerm(term) {
			return false
		}
	}
	return true
}

// isTerm reports whether a text is a number, or a unit with or without an exponent.
func isTerm(term string) bool {
	atom := strings.TrimRight(term, "-0123456789")
	if atom == "" || atoms[atom] {
		return true
	}
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(atom, p); ok && prefixed[rest] {
			return true
		}
	}
	return false
}
