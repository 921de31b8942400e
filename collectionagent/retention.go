// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Retention are the settings of how long data stay.
type Retention struct {
	Samples, Minutes, Hours Age
	Bytes                   Room
	Rules                   Rules
}

func defaultRetention() Retention {
	const day = Age(24 * time.Hour)
	return Retention{Samples: 7 * day, Minutes: 30 * day, Hours: 400 * day, Bytes: Room{Percent: 80}}
}

// register adds the flags.
func (r *Retention) register(fs *flag.FlagSet) {
	fs.TextVar(&r.Samples, "retention", r.Samples, "`age` up to which samples stay, such as 36h or 7d; 0: for ever")
	fs.TextVar(&r.Minutes, "retention-minutes", r.Minutes, "`age` up to which sums of samples per minute stay, at least as long as samples; 0: for ever")
	fs.TextVar(&r.Hours, "retention-hours", r.Hours, "`age` up to which sums of samples per hour stay, at least as long as those per minute; 0: for ever")
	fs.TextVar(&r.Bytes, "retention-bytes", r.Bytes, "room in -data-dir beyond which the oldest data go: a `size`, or a percentage of what others leave of its file system; 0: no bound")
	fs.Var(&r.Rules, "retention-rule", "other ages for some data, as `project=shop,type=off_cpu,samples=2d`, also minutes= and hours=; the first rule that fits counts; repeat the flag or put ; between rules")
}

// Bounds of ages.
const (
	minAge = 10 * time.Minute
	maxAge = 100 * 365 * 24 * time.Hour
)

// validate reports what is wrong with the settings.
func (r *Retention) validate(bad func(name, format string, args ...any)) {
	age := func(name string, a Age) {
		if a != 0 && (time.Duration(a) < minAge || time.Duration(a) > maxAge) {
			bad(name, "is %s, must be 0 or from %s to %s", a, Age(minAge), Age(maxAge))
		}
	}
	age("retention", r.Samples)
	age("retention-minutes", r.Minutes)
	age("retention-hours", r.Hours)
	if least := Bytes(512 << 20); r.Bytes.Bytes != 0 && r.Bytes.Bytes < least {
		bad("retention-bytes", "is %s, must be 0, a percentage, or at least %s: the log and what is in memory need room", r.Bytes.Bytes, least)
	}
	for _, rule := range r.Rules.parsed() {
		for _, a := range []*Age{rule.samples, rule.minutes, rule.hours} {
			if a != nil {
				age("retention-rule", *a)
			}
		}
		if rule.project != "" {
			if err := auth.CheckProject(rule.project); err != nil {
				bad("retention-rule", "%s: %w", rule.String(), err)
			}
		}
	}
}

// forEver is an age that nothing reaches, where 0 means something else.
const forEver = time.Duration(math.MaxInt64)

// engine returns the settings as engines understand them: sums stay at least as long as
// what they are made of.
func (r *Retention) engine() store.Retention {
	out := store.Retention{Ages: lift(r.Samples, r.Minutes, r.Hours), Bytes: int64(r.Bytes.Bytes)}
	for _, rule := range r.Rules.parsed() {
		pick := func(own *Age, general Age) Age {
			if own != nil {
				return *own
			}
			return general
		}
		ages := lift(pick(rule.samples, r.Samples), pick(rule.minutes, r.Minutes), pick(rule.hours, r.Hours))
		for _, a := range []*time.Duration{&ages.Samples, &ages.Minutes, &ages.Hours} {
			if *a == 0 { // would leave the general one in force
				*a = forEver
			}
		}
		out.Rules = append(out.Rules, store.RetentionRule{Project: rule.project, Type: rule.sampleType, Ages: ages})
	}
	return out
}

// lift makes no age less than the one before; 0 is the greatest.
func lift(samples, minutes, hours Age) store.Ages {
	longer := func(a, b Age) Age {
		if a == 0 || b == 0 {
			return 0
		}
		return max(a, b)
	}
	minutes = longer(samples, minutes)
	hours = longer(minutes, hours)
	return store.Ages{Samples: time.Duration(samples), Minutes: time.Duration(minutes), Hours: time.Duration(hours)}
}

// longest returns how long samples stay that stay longest, 0: for ever.
func (r *Retention) longest() time.Duration {
	engine := r.engine()
	longest := engine.Samples
	for _, rule := range engine.Rules {
		if longest != 0 {
			longest = max(longest, rule.Samples)
		}
	}
	return longest
}

// Age is a time span. As text it may be in days (7d), weeks (2w) or years of 365 days (1y),
// or have the form of [time.ParseDuration]; 0 is for ever.
type Age time.Duration

var ageUnits = []struct {
	suffix string
	unit   time.Duration
}{{"y", 365 * 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}}

// String returns the age in days where it is whole ones.
func (a Age) String() string {
	const day = Age(24 * time.Hour)
	switch {
	case a == 0:
		return "0"
	case a%day == 0:
		return strconv.FormatInt(int64(a/day), 10) + "d"
	case a%Age(time.Hour) == 0:
		return strconv.FormatInt(int64(a/Age(time.Hour)), 10) + "h"
	}
	return time.Duration(a).String()
}

// MarshalText implements encoding.TextMarshaler.
func (a Age) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Age) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, u := range ageUnits {
		if number, ok := strings.CutSuffix(s, u.suffix); ok {
			v, err := strconv.ParseFloat(number, 64)
			if err != nil || !(v >= 0 && v*float64(u.unit) < 1<<63) { // NaN too
				break
			}
			*a = Age(v * float64(u.unit))
			return nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not an age such as 36h, 7d, 2w or 1y", s)
	}
	*a = Age(d)
	return nil
}

// Room is a number of bytes or a percentage of a file system.
type Room struct {
	Bytes   Bytes
	Percent int
}

// MarshalText implements encoding.TextMarshaler.
func (r Room) MarshalText() ([]byte, error) {
	if r.Percent > 0 {
		return fmt.Appendf(nil, "%d%%", r.Percent), nil
	}
	return r.Bytes.MarshalText()
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Room) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if number, ok := strings.CutSuffix(s, "%"); ok {
		v, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || v < 1 || v > 95 {
			return fmt.Errorf("%q is not a percentage from 1%% to 95%%", s)
		}
		*r = Room{Percent: v}
		return nil
	}
	var b Bytes
	if err := b.UnmarshalText(text); err != nil {
		return fmt.Errorf("%q is neither a size such as 100GiB nor a percentage such as 80%%", s)
	}
	*r = Room{Bytes: b}
	return nil
}

// Rules are what -retention-rule says, as it is written: [Config] is comparable.
type Rules string

// parsed returns the rules.
func (r Rules) parsed() (rules []rule) {
	for part := range strings.SplitSeq(string(r), ";") {
		if parsed, err := parseRule(part); err == nil { // as Set made sure, "" aside
			rules = append(rules, parsed)
		}
	}
	return rules
}

// rule gives some data other ages; nil: the general one.
type rule struct {
	project                 string
	sampleType              libpf.SampleType
	samples, minutes, hours *Age
}

// String returns the rule as it is written.
func (r *rule) String() string {
	var parts []string
	if r.project != "" {
		parts = append(parts, "project="+r.project)
	}
	if r.sampleType != 0 {
		parts = append(parts, "type="+r.sampleType.String())
	}
	for _, a := range []struct {
		name string
		age  *Age
	}{{"samples", r.samples}, {"minutes", r.minutes}, {"hours", r.hours}} {
		if a.age != nil {
			parts = append(parts, a.name+"="+a.age.String())
		}
	}
	return strings.Join(parts, ",")
}

// String implements flag.Value.
func (r *Rules) String() string { return string(*r) }

// Set implements flag.Value. It adds rules, separated by semicolons.
func (r *Rules) Set(text string) error {
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		parsed, err := parseRule(part)
		if err != nil {
			return fmt.Errorf("%q: %w; expected a rule such as project=shop,type=off_cpu,samples=2d", strings.TrimSpace(part), err)
		}
		if *r != "" {
			*r += ";"
		}
		*r += Rules(parsed.String())
	}
	return nil
}

// parseRule reads one rule.
func parseRule(text string) (rule, error) {
	var r rule
	seen := make(map[string]bool)
	for entry := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(entry), "=")
		if !ok || value == "" {
			return r, fmt.Errorf("%q has no value", name)
		}
		if seen[name] {
			return r, fmt.Errorf("%s is there twice", name)
		}
		seen[name] = true
		age := func() (*Age, error) {
			a := new(Age)
			return a, a.UnmarshalText([]byte(value))
		}
		var err error
		switch name {
		case "project":
			r.project = value
		case "type":
			r.sampleType, err = libpf.ParseSampleType(value)
		case "samples":
			r.samples, err = age()
		case "minutes":
			r.minutes, err = age()
		case "hours":
			r.hours, err = age()
		default:
			err = fmt.Errorf("unknown name %q: expected project, type, samples, minutes or hours", name)
		}
		if err != nil {
			return r, err
		}
	}
	if r.samples == nil && r.minutes == nil && r.hours == nil {
		return r, errors.New("no age")
	}
	return r, nil
}
