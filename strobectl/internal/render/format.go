// SPDX-License-Identifier: Apache-2.0

// Package render shows profiles: as text that fits a terminal, as pictures, as pages.
package render

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Value returns a value with its unit, in at most eight columns.
func Value(unit string, v int64) string {
	switch unit {
	case "nanoseconds":
		return duration(v)
	case "bytes":
		return Bytes(v)
	}
	return Count(v)
}

func duration(v int64) string {
	n := float64(v)
	if n < 0 {
		return "-" + duration(-max(v, -math.MaxInt64))
	}
	switch {
	case n == 0:
		return "0"
	case n < 1e3:
		return strconv.FormatInt(v, 10) + " ns"
	case n < 1e6:
		return digits(n/1e3) + " µs"
	case n < 1e9:
		return digits(n/1e6) + " ms"
	case n < 999.5e9:
		return digits(n/1e9) + " s"
	case n < 9999.5e9:
		return Count(int64(n/1e9+0.5)) + " s" // minutes beside seconds are hard to compare
	case n < 1e4*3600e9:
		return digits(n/3600e9) + " h"
	}
	return digits(n/(8760*3600e9)) + " y"
}

// digits returns a number with three digits that count.
func digits(n float64) string {
	switch {
	case n < 9.995:
		return strconv.FormatFloat(n, 'f', 2, 64)
	case n < 99.95:
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// Bytes returns a size.
func Bytes(v int64) string {
	n := math.Abs(float64(v))
	sign := ""
	if v < 0 {
		sign = "-"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for n >= 1023.5 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 {
		return sign + strconv.FormatFloat(n, 'f', 0, 64) + " B"
	}
	return sign + digits(n) + " " + units[i]
}

// Count returns a number: small ones in full.
func Count(v int64) string {
	n, sign := math.Abs(float64(v)), ""
	if v < 0 {
		sign = "-"
	}
	switch {
	case n < 1e6:
		s := strconv.FormatFloat(n, 'f', 0, 64)
		if len(s) > 3 {
			s = s[:len(s)-3] + "," + s[len(s)-3:]
		}
		return sign + s
	case n < 1e9:
		return sign + digits(n/1e6) + " M"
	case n < 1e12:
		return sign + digits(n/1e9) + " G"
	}
	return sign + digits(n/1e12) + " T"
}

// Percent returns part of whole, "-" of nothing.
func Percent(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	p := 100 * float64(part) / float64(whole)
	if p != 0 && math.Abs(p) < 0.05 {
		return "<0.1%"
	}
	return fmt.Sprintf("%.1f%%", p)
}

// Ago returns how long before now a time is, both in milliseconds since 1970.
func Ago(ms, now int64) string {
	if ms == 0 {
		return "never"
	}
	d := time.Duration(max(now-ms, 0)) * time.Millisecond
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d d ago", int(d.Hours()/24))
}

// Span returns the length of a time range in milliseconds.
func Span(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d < time.Minute:
		return digits(d.Seconds()) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes()+0.5)) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours()+0.5)) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24+0.5)) + " d"
}
