// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"unicode/utf8"

	"github.com/zeebo/xxh3"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// tableID is a table of the dictionary.
type tableID int

const (
	texts tableID = iota
	attributes
	mappings
	functions
	locations
	links
	stacks
	tableCount
)

var tableNames = [tableCount]string{"string_table", "attribute_table", "mapping_table", "function_table", "location_table", "link_table", "stack_table"}

// table is what is known of a table: which of its entries something refers to.
type table struct{ used []bool }

func (c *checker) measureTables() {
	d := c.d
	for t, n := range [tableCount]int{
		len(d.GetStringTable()), len(d.GetAttributeTable()), len(d.GetMappingTable()), len(d.GetFunctionTable()),
		len(d.GetLocationTable()), len(d.GetLinkTable()), len(d.GetStackTable()),
	} {
		c.tables[t].used = make([]bool, n)
	}
}

// refer checks an index and notes that its entry is used. Index 0 means none, even
// where the table is empty, which is a finding of its own.
func (c *checker) refer(t tableID, i int32, at step) bool {
	used := c.tables[t].used
	if i >= 0 && int(i) < len(used) {
		used[i] = true
		return true
	}
	if i != 0 {
		c.findAt(ruleIndex, at, "index %d is out of range, dictionary.%s has %d entries", i, tableNames[t], len(used))
	}
	return false
}

// referAll checks a list of indices, none of which should be 0.
func (c *checker) referAll(t tableID, list []int32, field string) {
	for j, i := range list {
		if i == 0 {
			c.findAt(ruleNull, step{field, j}, "refers to entry 0 of dictionary.%s, which means none", tableNames[t])
		}
		c.refer(t, i, step{field, j})
	}
}

func (c *checker) refText(i int32, field string) bool { return c.refer(texts, i, step{field, none}) }

// textOf returns a text, "" for 0, which means none, and for an index that is out of range.
func (c *checker) textOf(i int32) string {
	if s := c.d.GetStringTable(); i > 0 && int(i) < len(s) {
		return s[i]
	}
	return ""
}

func (c *checker) dictionary() {
	if c.d == nil { // a finding of its own
		return
	}
	c.known(c.d)
	c.stringTable()
	d := c.d
	entries(c, attributes, d.GetAttributeTable(), (*checker).attributeEntry)
	entries(c, mappings, d.GetMappingTable(), (*checker).mappingEntry)
	entries(c, functions, d.GetFunctionTable(), (*checker).functionEntry)
	entries(c, locations, d.GetLocationTable(), (*checker).locationEntry)
	entries(c, links, d.GetLinkTable(), (*checker).linkEntry)
	entries(c, stacks, d.GetStackTable(), func(c *checker, s *profiles.Stack) {
		c.referAll(locations, s.GetLocationIndices(), "location_indices")
	})
}

func (c *checker) stringTable() {
	table := c.d.GetStringTable()
	const name = "string_table"
	if len(table) == 0 {
		c.find(ruleTableZero, name, "is empty")
	} else if table[0] != "" {
		c.findAt(ruleTableZero, step{name, 0}, "is %.100q, must be empty", table[0])
	}
	c.firstText, c.sameText = make(map[string]int32, len(table)), make([]int32, len(table))
	c.keyAt = make([]keyPlace, len(table))
	for i, s := range table {
		if !utf8.ValidString(s) {
			c.findAt(ruleUTF8, step{name, i}, "%.100q is not UTF-8", s)
		}
		same, ok := c.firstText[s]
		if !ok {
			same = int32(i) //nolint:gosec // an index of 32 bits
			c.firstText[s] = same
		} else {
			c.findAt(ruleDuplicate, step{name, i}, "is the same as entry %d", same)
		}
		c.sameText[i] = same
	}
}

// entries checks a table of messages: entry 0, each entry for itself, and that they differ.
func entries[T proto.Message](c *checker, id tableID, table []T, check func(*checker, T)) {
	name := tableNames[id]
	if len(table) == 0 {
		c.find(ruleTableZero, name, "is empty")
		return
	}
	first := make(map[xxh3.Uint128]int, len(table))
	for i, entry := range table {
		c.at(name, i)
		c.known(entry)
		if i == 0 {
			if !isZero(entry) {
				c.find(ruleTableZero, "", "is not the zero value")
			}
		} else {
			check(c, entry)
		}
		if key, ok := c.contentOf(entry); ok {
			if same, ok := first[key]; ok {
				c.find(ruleDuplicate, "", "is the same as entry %d", same)
			} else {
				first[key] = i
			}
		}
		c.leave()
	}
}

// contentOf returns what tells entries apart. There is none for texts that are not valid.
func (c *checker) contentOf(m proto.Message) (xxh3.Uint128, bool) {
	var err error
	c.encoded, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend(c.encoded[:0], m)
	return xxh3.Hash128(c.encoded), err == nil
}

// isZero reports whether an entry says nothing. IDs of zeros are the zero value too: the
// comments of the tables recommend them, and other writers leave them out. So is a
// value without a content.
func isZero(m proto.Message) bool {
	switch m := m.(type) {
	case *profiles.Link:
		return len(m.ProtoReflect().GetUnknown()) == 0 && zeroID(m.GetTraceId(), 16) && zeroID(m.GetSpanId(), 8)
	case *profiles.KeyValueAndUnit:
		return m.GetKeyStrindex() == 0 && m.GetUnitStrindex() == 0 && m.GetValue().GetValue() == nil
	}
	return proto.Size(m) == 0
}

func zeroID(id []byte, size int) bool { return len(id) == 0 || len(id) == size && allZero(id) }

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// orphans notes entries that nothing refers to.
func (c *checker) orphans() {
	for t := range tableCount {
		for i, used := range c.tables[t].used {
			if i > 0 && !used {
				c.findAt(ruleOrphan, step{tableNames[t], i}, "nothing refers to it")
			}
		}
	}
}

func (c *checker) functionEntry(f *profiles.Function) {
	c.refText(f.GetNameStrindex(), "name_strindex")
	c.refText(f.GetSystemNameStrindex(), "system_name_strindex")
	c.refText(f.GetFilenameStrindex(), "filename_strindex")
	c.notNegative(f.GetStartLine(), "start_line")
}

func (c *checker) notNegative(n int64, field string) {
	if n < 0 {
		c.find(ruleNegative, field, "is %d, must not be negative", n)
	}
}

func (c *checker) mappingEntry(m *profiles.Mapping) {
	start, limit := m.GetMemoryStart(), m.GetMemoryLimit()
	if start >= limit && (start != 0 || limit != 0) {
		c.find(ruleMappingRange, "memory_start", "%#x is not before memory_limit, %#x", start, limit)
	}
	c.refText(m.GetFilenameStrindex(), "filename_strindex")
	c.attributeList(m.GetAttributeIndices())
	has := false
	for _, a := range m.GetAttributeIndices() {
		has = has || c.isBuildID(a)
	}
	if !has {
		c.find(ruleBuildID, "attribute_indices", "has no build ID of %.100q: needs one of %s, %s and %s",
			c.textOf(m.GetFilenameStrindex()), otlpkey.BuildIDGNU, otlpkey.BuildIDGo, otlpkey.BuildIDHTLHash)
	}
}

func (c *checker) locationEntry(l *profiles.Location) {
	if c.refer(mappings, l.GetMappingIndex(), step{"mapping_index", none}) && l.GetMappingIndex() > 0 {
		m := c.d.GetMappingTable()[l.GetMappingIndex()]
		start, limit := m.GetMemoryStart(), m.GetMemoryLimit()
		if a := l.GetAddress(); start < limit && (a < start || a >= limit) {
			c.find(ruleAddress, "address", "%#x is not in the mapping, [%#x, %#x)", a, start, limit)
		}
	}
	c.attributeList(l.GetAttributeIndices())
	for i, line := range l.GetLines() {
		c.at("lines", i)
		c.known(line)
		c.refer(functions, line.GetFunctionIndex(), step{"function_index", none})
		if line.GetFunctionIndex() == 0 {
			c.find(ruleNull, "function_index", "refers to entry 0 of dictionary.function_table, which means none")
		}
		c.notNegative(line.GetLine(), "line")
		c.notNegative(line.GetColumn(), "column")
		c.leave()
	}
}

func (c *checker) linkEntry(l *profiles.Link) {
	for _, id := range [...]struct {
		field string
		bytes []byte
		want  int
	}{{"trace_id", l.GetTraceId(), 16}, {"span_id", l.GetSpanId(), 8}} {
		if len(id.bytes) != id.want {
			c.find(ruleLink, id.field, "has %d bytes instead of %d", len(id.bytes), id.want)
		} else if allZero(id.bytes) {
			c.find(ruleLink, id.field, "is all zero, which means none")
		}
	}
}
