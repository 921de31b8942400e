// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"regexp"
	"strconv"
)

// Matcher is a condition on a label.
type Matcher struct {
	Name  string
	Op    MatchOp
	Value string
	re    *regexp.Regexp
}

// String returns the text form of the operator.
func (o MatchOp) String() string { return [...]string{"=", "!=", "=~", "!~"}[o] }

// NewMatcher returns a matcher, or an error when a regular expression does not parse.
func NewMatcher(name string, op MatchOp, value string) (*Matcher, error) {
	m := &Matcher{Name: name, Op: op, Value: value}
	if op == MatchRegexp || op == MatchNotRegexp {
		re, err := regexp.Compile("^(?:" + value + ")$")
		if err != nil {
			return nil, fmt.Errorf("regular expression of label %s: %w", name, err)
		}
		m.re = re
	}
	return m, nil
}

// Matches reports whether a value of the label meets the condition.
func (m *Matcher) Matches(value string) bool {
	switch m.Op {
	case MatchEqual:
		return value == m.Value
	case MatchNotEqual:
		return value != m.Value
	case MatchRegexp:
		return m.re.MatchString(value)
	default:
		return !m.re.MatchString(value)
	}
}

// String returns the matcher as a query writes it.
func (m *Matcher) String() string { return m.Name + m.Op.String() + strconv.Quote(m.Value) }

// Label returns the value of a label of the series, "" when it has none.
func (s *Series) Label(name string) string {
	switch name {
	case LabelService:
		return s.Service
	case LabelHost:
		return s.Host
	case LabelHostID:
		return s.HostID
	case LabelNamespace:
		return s.Namespace
	case LabelPod:
		return s.Pod
	case LabelContainer:
		return s.Container
	case LabelContainerID:
		return s.ContainerID
	case LabelProcess:
		return s.Process
	case LabelExecutable:
		return s.Executable
	case LabelComm:
		return s.Comm
	case LabelPID:
		return strconv.FormatUint(uint64(s.PID), 10)
	case LabelTID:
		return strconv.FormatUint(uint64(s.TID), 10)
	}
	for _, l := range s.Labels {
		if l.Key == name {
			return l.Value
		}
	}
	return ""
}

// Matches reports whether the series meets all conditions.
func (s *Series) Matches(ms []*Matcher) bool {
	for _, m := range ms {
		if !m.Matches(s.Label(m.Name)) {
			return false
		}
	}
	return true
}
