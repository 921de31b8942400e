// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// label writes the value of a label of a row of samples, "" if it has none.
func (l *layout) label(q *statement, name string) *statement {
	switch {
	case name == store.LabelPID || name == store.LabelTID:
		return q.add("toString(").ident(name).add(")")
	case slices.Contains(textColumns[:], name):
		return q.add("toString(").ident(name).add(")")
	case l.legacy:
		return q.add("label_values[indexOf(label_names, ").str(name).add(")]")
	}
	return q.add("labels[").str(name).add("]")
}

// matcher writes a condition on a label. Values and patterns mean the same as in
// [store.Matcher].
func (l *layout) matcher(q *statement, m *store.Matcher) {
	// Columns are compared as they are, so that the server can use its index.
	left := func() *statement {
		if slices.Contains(textColumns[:], m.Name) {
			return q.ident(m.Name)
		}
		return l.label(q, m.Name)
	}
	switch m.Op {
	case store.MatchEqual:
		left().add(" = ").str(m.Value)
	case store.MatchNotEqual:
		left().add(" != ").str(m.Value)
	default:
		if m.Op == store.MatchNotRegexp {
			q.add("NOT ")
		}
		if values := alternatives(m.Value); values != nil {
			q.add("(")
			left().add(" IN ").strs(values).add(")")
			return
		}
		q.add("match(")
		left().add(", ").str(anchored(m.Value)).add(")")
	}
}

// alternatives returns the texts that a regular expression matches if it is
// nothing but a few of them, else nil.
func alternatives(pattern string) []string {
	if strings.ContainsAny(pattern, `\.+*?()[]{}^$`) {
		return nil
	}
	return strings.Split(pattern, "|")
}

// anchored returns a regular expression for the server's match function, which
// means the same as pattern does to ours when it must match the whole text. The
// library is RE2 there as well, but lets a dot match a line feed, and old ones
// lack parts of our syntax, so the pattern is written out in the basic one.
func anchored(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return `[^\x00-\x{10FFFF}]` // cannot be: NewMatcher parsed it
	}
	return `^(?-s:` + plain(re).String() + `)$`
}

// plain removes the names of groups and the groups themselves, which are no part
// of what matches.
func plain(re *syntax.Regexp) *syntax.Regexp {
	for i, sub := range re.Sub {
		re.Sub[i] = plain(sub)
	}
	if re.Op == syntax.OpCapture {
		return re.Sub[0]
	}
	return re
}

// at writes a time in ms as the column of times in samples has it.
func (l *layout) at(q *statement, ms int64) *statement {
	if l.legacy {
		return q.int(ms)
	}
	return q.add("fromUnixTimestamp64Milli(toInt64(").int(ms).add("), 'UTC')")
}

// atBucket writes a time in ms as the column of buckets in roll-ups has it.
func (l *layout) atBucket(q *statement, ms int64) *statement {
	if l.legacy {
		return q.int(ms)
	}
	return q.add("toDateTime(toUInt32(").int(ms / 1000).add("), 'UTC')")
}

// msOf returns the time in ms of a row of samples or of a roll-up.
func (l *layout) msOf(table string) text {
	switch {
	case l.legacy && table == tableSamples:
		return "ts"
	case l.legacy:
		return "bucket"
	case table == tableSamples:
		return "toUnixTimestamp64Milli(ts)"
	}
	return "(toInt64(toUnixTimestamp(bucket)) * 1000)"
}

// scope writes the conditions on the project, the types, the times in ms and the
// labels of rows of samples or of a roll-up. No type means every one.
func (l *layout) scope(q *statement, table string, project string, types []libpf.SampleType, from, to int64, matchers []*store.Matcher) {
	q.add(" WHERE project = ").str(project)
	if len(types) > 0 {
		q.add(" AND type IN ")
		join(q, types, func(t libpf.SampleType) { q.uint(uint64(t)) })
	}
	if table == tableSamples {
		l.at(q.add(" AND ts >= "), from)
		l.at(q.add(" AND ts < "), to)
	} else {
		l.atBucket(q.add(" AND bucket >= "), from)
		l.atBucket(q.add(" AND bucket < "), to)
	}
	for _, m := range matchers {
		l.matcher(q.add(" AND "), m)
	}
}

// traces writes the conditions on traces.
func traces(q *statement, query *store.Query) {
	if len(query.TraceIDs) > 0 {
		q.add(" AND trace_id IN ")
		join(q, query.TraceIDs, func(id [16]byte) { q.str(string(id[:])) })
	}
	if len(query.SpanIDs) > 0 {
		q.add(" AND span_id IN ")
		join(q, query.SpanIDs, func(id [8]byte) { q.str(string(id[:])) })
	}
}

// typesOf returns the types that a query asks for.
func typesOf(query *store.Query) []libpf.SampleType {
	if query.Type == 0 {
		return nil
	}
	return []libpf.SampleType{query.Type}
}
