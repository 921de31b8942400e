// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/internal/settings"
	"github.com/strobe-profiler/strobe/libpf"
)

// ParseSeconds reads a duration with a unit, or a plain number of seconds.
func ParseSeconds(s string) (time.Duration, error) {
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n <= math.MaxInt64/1e9 {
		return time.Duration(n * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 10s or 500ms", s)
	}
	return d, nil
}

// setting reads and prints one field of a Config. It implements flag.Value.
type setting struct {
	set    func(string) error
	values func() []string
	isBool bool
	isList bool
}

func (s *setting) Set(text string) error {
	if s.isList {
		var errs []error
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				errs = append(errs, s.set(part))
			}
		}
		return errors.Join(errs...)
	}
	return s.set(text)
}

func (s *setting) IsBoolFlag() bool { return s.isBool }

func (s *setting) String() string {
	if s.values == nil { // the flag package looks at zero values
		return ""
	}
	return strings.Join(s.values(), ",")
}

// scalar makes the setting of a field with one value.
func scalar[T any](p *T, parse func(string) (T, error), format func(T) string) *setting {
	return &setting{
		set: func(text string) error {
			v, err := parse(text)
			if err == nil {
				*p = v
			}
			return err
		},
		values: func() []string { return []string{format(*p)} },
	}
}

// list makes the setting of a field with several values.
func list[T any](p *[]T, parse func(string) (T, error), format func(T) string) *setting {
	given := false
	return &setting{
		isList: true,
		set: func(text string) error {
			v, err := parse(text)
			if err != nil {
				return err
			}
			if !given {
				*p, given = nil, true // what is given takes the place of the default
			}
			*p = append(*p, v)
			return nil
		},
		values: func() []string {
			out := make([]string, len(*p))
			for i, v := range *p {
				out[i] = format(v)
			}
			return out
		},
	}
}

func text(p *string) *setting          { return scalar(p, parseText, identity) }
func texts(p *[]string) *setting       { return list(p, parseText, identity) }
func pids(p *[]libpf.PID) *setting     { return list(p, ParsePID, formatPID) }
func bytes(p *settings.Bytes) *setting { return scalar(p, settings.ParseBytes, settings.Bytes.String) }

func boolean(p *bool) *setting {
	s := scalar(p, func(s string) (bool, error) {
		switch strings.ToLower(s) {
		case "yes", "on": // YAML has them
			return true, nil
		case "no", "off":
			return false, nil
		}
		b, err := strconv.ParseBool(s)
		if err != nil {
			return false, fmt.Errorf("%q is neither true nor false", s)
		}
		return b, nil
	}, strconv.FormatBool)
	s.isBool = true
	return s
}

func integer(p *int) *setting {
	return scalar(p, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a whole number", s)
		}
		return n, nil
	}, strconv.Itoa)
}

func number(p *float64) *setting {
	return scalar(p, func(s string) (float64, error) {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number", s)
		}
		return n, nil
	}, func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) })
}

func seconds(p *time.Duration) *setting { return scalar(p, ParseSeconds, time.Duration.String) }

func labels(p *[]libpf.Label) *setting {
	return list(p, func(s string) (libpf.Label, error) {
		key, value, ok := strings.Cut(s, "=")
		if key, value = strings.TrimSpace(key), strings.TrimSpace(value); !ok || key == "" || value == "" {
			return libpf.Label{}, fmt.Errorf("%q is not KEY=VALUE", s)
		}
		return libpf.Label{Key: key, Value: value}, nil
	}, func(l libpf.Label) string { return l.Key + "=" + l.Value })
}

// ParsePID reads the ID of a process.
func ParsePID(s string) (libpf.PID, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not the ID of a process", s)
	}
	return libpf.PID(n), nil
}

func formatPID(pid libpf.PID) string     { return strconv.FormatUint(uint64(pid), 10) }
func parseText(s string) (string, error) { return s, nil }
func identity(s string) string           { return s }

// sortErrors orders errors by their text, so that messages do not change from
// run to run.
func sortErrors(errs []error) []error {
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errs
}
