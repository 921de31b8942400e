// SPDX-License-Identifier: Apache-2.0

package query

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// ParseTime reads a time expression:
//
//	now                        the given time
//	now-5m, now-1h30m, now+1d  before or after it, see [ParseDuration]
//	2026-11-21T10:00:00Z       RFC 3339, with or without fractions of a second
//	1795255200, 1795255200.5   seconds since the epoch
//	1795255200000              milliseconds since the epoch, by the number of digits
//
// A space stands for a plus sign, which is what an unescaped plus in a URL
// becomes. Times before 1970 or after the year 2260 are errors. All errors are
// a [*SyntaxError].
func ParseTime(s string, now time.Time) (libpf.UnixTimeNs, error) {
	switch {
	case s == "":
		return 0, syntaxErrorf(0, "empty time: expected %s", timeForms)
	case strings.HasPrefix(s, "now"):
		return parseRelative(s, now)
	case isNumber(s):
		return parseUnix(s)
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(s, " ", "+"))
	if err != nil {
		return 0, syntaxErrorf(datePrefix(s), "not a time: expected %s", timeForms)
	}
	return toUnixNs(t.Unix(), int64(t.Nanosecond()))
}

const timeForms = "now, now-15m, RFC 3339 such as 2026-11-21T10:00:00Z, or seconds or milliseconds since 1970"

// maxSeconds is the last second of the year 2260. It leaves a year to where 64
// bits of nanoseconds end, so that a step can be added to any time.
const maxSeconds = 9_183_110_400 - 1

// firstMilliseconds is the number from which on a time is in milliseconds: as
// seconds it is the year 5138, as milliseconds it is in 1973.
const firstMilliseconds = 100_000_000_000

func toUnixNs(seconds, nanoseconds int64) (libpf.UnixTimeNs, error) {
	if seconds < 0 || seconds > maxSeconds {
		return 0, syntaxErrorf(0, "time out of range: expected one between the years 1970 and 2260")
	}
	return libpf.UnixTimeNs(seconds*int64(time.Second) + nanoseconds), nil
}

func parseRelative(s string, now time.Time) (libpf.UnixTimeNs, error) {
	rest := s[len("now"):]
	if rest == "" {
		return toUnixNs(now.Unix(), int64(now.Nanosecond()))
	}
	sign := rest[0]
	if sign != '-' && sign != '+' && sign != ' ' {
		return 0, syntaxErrorf(len("now"), "found %q after now: expected - or + and a duration such as 15m", rune(sign))
	}
	d, err := parseDuration(rest[1:], len("now")+1)
	if err != nil {
		return 0, err
	}
	if sign == '-' {
		d = -d
	}
	t := now.Add(d)
	return toUnixNs(t.Unix(), int64(t.Nanosecond()))
}

// isNumber reports whether s can only be meant as a number.
func isNumber(s string) bool {
	return strings.Trim(s, "0123456789.") == ""
}

func parseUnix(s string) (libpf.UnixTimeNs, error) {
	whole, fraction, hasFraction := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0, syntaxErrorf(0, "not a time: expected %s", timeForms)
	}
	if n >= firstMilliseconds && !hasFraction {
		return toUnixNs(n/1000, n%1000*int64(time.Millisecond))
	}
	if !hasFraction {
		return toUnixNs(n, 0)
	}
	const digits = 9
	if fraction == "" || len(fraction) > digits || strings.Contains(fraction, ".") {
		return 0, syntaxErrorf(len(whole)+1, "expected 1 to %d digits of a fraction of a second", digits)
	}
	ns, err := strconv.ParseInt(fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		return 0, syntaxErrorf(len(whole)+1, "expected 1 to %d digits of a fraction of a second", digits)
	}
	return toUnixNs(n, ns)
}

// datePrefix returns how much of s has the shape of a time in RFC 3339, which is
// where the mistake is.
func datePrefix(s string) int {
	const shape = "0000-00-00T00:00:00"
	for i := range len(shape) {
		if i == len(s) {
			return i
		}
		isDigit := s[i] >= '0' && s[i] <= '9'
		if shape[i] == '0' && !isDigit || shape[i] != '0' && s[i] != shape[i] {
			return i
		}
	}
	if len(s) == len(shape) {
		return len(shape)
	}
	// The shape is right, so either the zone or a number is not.
	if _, err := time.Parse("2006-01-02T15:04:05", s[:len(shape)]); err != nil {
		return 0
	}
	return len(shape)
}

// ParseDuration reads a positive duration: numbers with units, as in 90s or
// 1h30m. The units are ms, s, m, h, d of 24 hours, w of 7 days and y of 365 days. A
// number alone is in seconds. Errors are a [*SyntaxError].
func ParseDuration(s string) (time.Duration, error) {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		s += "s"
	}
	d, err := parseDuration(s, 0)
	if err != nil {
		return 0, err
	}
	if d == 0 {
		return 0, syntaxErrorf(0, "expected a duration above zero")
	}
	return d, nil
}

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
	"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour,
}

// parseDuration reads a duration that starts at an offset of the whole text.
func parseDuration(s string, offset int) (time.Duration, error) {
	if s == "" {
		return 0, syntaxErrorf(offset, "expected a duration such as 15m or 1h30m")
	}
	var sum time.Duration
	for i := 0; i < len(s); {
		digits := spanOf(s[i:], func(c byte) bool { return c >= '0' && c <= '9' })
		if digits == 0 {
			return 0, syntaxErrorf(offset+i, "found %q: expected a number", firstRune(s[i:]))
		}
		letters := spanOf(s[i+digits:], func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' })
		unit, ok := durationUnits[s[i+digits:i+digits+letters]]
		if !ok {
			return 0, syntaxErrorf(offset+i+digits, "expected a unit: ms, s, m, h, d, w or y")
		}
		n, err := strconv.ParseInt(s[i:i+digits], 10, 64)
		if err != nil || n > (math.MaxInt64-int64(sum))/int64(unit) {
			return 0, syntaxErrorf(offset+i, "duration too long")
		}
		sum += time.Duration(n) * unit
		i += digits + letters
	}
	return sum, nil
}

// spanOf returns the length of the start of s whose bytes are all in the set.
func spanOf(s string, in func(byte) bool) int {
	for i := range len(s) {
		if !in(s[i]) {
			return i
		}
	}
	return len(s)
}
