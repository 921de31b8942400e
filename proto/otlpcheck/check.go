// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"unicode/utf8"

	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

// Payload is a message of profiles: an ExportProfilesServiceRequest or a ProfilesData.
type Payload interface {
	proto.Message
	GetResourceProfiles() []*profiles.ResourceProfiles
	GetDictionary() *profiles.ProfilesDictionary
}

// DefaultPerRule is how many findings of a rule a report shows unless told otherwise.
const DefaultPerRule = 10

// Options change what a report shows. The zero value shows what most want.
type Options struct {
	// PerRule is how many findings of a rule the report shows, at least 1; 0:
	// [DefaultPerRule]. All are counted.
	PerRule int
	// Least leaves out, and does not count, what is less severe.
	Least Severity
}

// checker checks one message.
type checker struct {
	d      *profiles.ProfilesDictionary
	most   int
	least  Severity
	path   []step
	report *Report
	tables [tableCount]table
	// sameText is, for each text of the table, the first that is equal, firstText that by text.
	sameText  []int32
	firstText map[string]int32
	// keyAt is, for each text of the table, where a list of attributes had it last as a key, and
	// lists is how many there were: to empty it for each list would take the time of the table.
	keyAt   []keyPlace
	lists   int
	encoded []byte
	sorted  []int32
}

// keyPlace is where a list of attributes has a key.
type keyPlace struct{ list, index int }

// Check checks a message. It changes nothing of it.
func Check(p Payload, o Options) *Report {
	c := newChecker(p.GetDictionary(), o)
	c.known(p)
	if c.d == nil {
		c.find(ruleDictionary, "dictionary", "is missing")
	}
	c.measureTables()
	c.enter("dictionary")
	c.dictionary()
	c.leave()
	if len(p.GetResourceProfiles()) == 0 {
		c.find(ruleEmpty, "resource_profiles", "is empty")
	}
	for i, rp := range p.GetResourceProfiles() {
		c.at("resource_profiles", i)
		c.resource(rp)
		c.leave()
	}
	c.enter("dictionary")
	c.orphans()
	c.leave()
	return c.report
}

func newChecker(d *profiles.ProfilesDictionary, o Options) *checker {
	c := &checker{d: d, most: o.PerRule, least: o.Least, report: &Report{Counts: map[string]int{}, Findings: []Finding{}}}
	if c.most <= 0 {
		c.most = DefaultPerRule
	}
	return c
}

// known notes fields that the message should not have.
func (c *checker) known(m proto.Message) {
	if unknown := m.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		c.find(ruleUnknownField, "", "has %d bytes of unknown fields", len(unknown))
	}
}

// text checks that a text is valid.
func (c *checker) text(field, s string) {
	if !utf8.ValidString(s) {
		c.find(ruleUTF8, field, "%.100q is not UTF-8", s)
	}
}
