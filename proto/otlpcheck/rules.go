// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import "fmt"

// Severity tells what a rule is based on.
type Severity int

// Severities.
const (
	Warning Severity = iota // the texts say SHOULD
	Error                   // the texts say MUST, or readers cannot make sense of it
)

// String returns the severity in one word.
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(b []byte) error {
	switch string(b) {
	case "warning":
		*s = Warning
	case "error":
		*s = Error
	default:
		return fmt.Errorf("%q is no severity: expected error or warning", b)
	}
	return nil
}

// Rule is something that messages have to keep. Its name is stable.
type Rule struct {
	Name     string   `json:"name"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
}

// rule is an index into rules.
type rule int

const (
	ruleDecode rule = iota
	ruleSize
	ruleDictionary
	ruleEmpty
	ruleNoSamples
	ruleTableZero
	ruleIndex
	ruleNull
	ruleDuplicate
	ruleOrphan
	ruleAttributeKey
	ruleKeyAndIndex
	ruleAttributeDuplicate
	ruleAttributeType
	ruleMappingRange
	ruleAddress
	ruleBuildID
	ruleBuildIDForm
	ruleFrameType
	ruleNegative
	ruleLink
	ruleSampleType
	rulePeriod
	ruleShape
	ruleMixedShapes
	ruleSampleDuplicate
	ruleTimeWindow
	ruleWindowEnd
	ruleProfileID
	rulePayload
	ruleUnit
	ruleUTF8
	ruleNesting
	ruleUnknownField
	ruleCount
)

var rules = [ruleCount]Rule{
	ruleDecode:             {"decode", Error, "the bytes are a message, in protocol buffer or JSON form"},
	ruleSize:               {"size", Error, "a message is not larger than receivers take"},
	ruleDictionary:         {"dictionary", Error, "a message has a dictionary"},
	ruleEmpty:              {"empty", Error, "a message has resources, a resource has scopes, and a scope has profiles"},
	ruleNoSamples:          {"no-samples", Warning, "a profile has samples"},
	ruleTableZero:          {"table-zero", Error, "entry 0 of each table of the dictionary is there and is the zero value"},
	ruleIndex:              {"index", Error, "an index is one of the table that it refers to"},
	ruleNull:               {"null", Warning, "lists do not refer to entry 0, which means none"},
	ruleDuplicate:          {"duplicate", Warning, "entries of a table differ"},
	ruleOrphan:             {"orphan", Warning, "something refers to each entry of a table"},
	ruleAttributeKey:       {"attribute-key", Error, "an attribute has a key"},
	ruleKeyAndIndex:        {"key-and-index", Error, "an attribute has either key or key_strindex"},
	ruleAttributeDuplicate: {"attribute-duplicate", Error, "the attributes of one thing have different keys"},
	ruleAttributeType:      {"attribute-type", Warning, "an attribute that the conventions know has the type that they say"},
	ruleMappingRange:       {"mapping-range", Error, "a mapping starts before its limit, or both are 0"},
	ruleAddress:            {"address", Warning, "an address is within its mapping, where that has a range"},
	ruleBuildID:            {"build-id", Error, "a mapping has a build ID: process.executable.build_id.gnu, .go or .htlhash"},
	ruleBuildIDForm:        {"build-id-form", Error, "GNU build IDs are hexadecimal, htlhash is 32 hexadecimal digits, Go's are not empty"},
	ruleFrameType:          {"frame-type", Error, "profile.frame.type is what the conventions call the runtime, where they know it"},
	ruleNegative:           {"negative", Error, "lines, columns and first lines are not negative"},
	ruleLink:               {"link", Error, "a link has a trace ID of 16 bytes and a span ID of 8, which are not all zero"},
	ruleSampleType:         {"sample-type", Warning, "a profile says what its samples are"},
	rulePeriod:             {"period", Warning, "a period is not negative and has a type"},
	ruleShape:              {"shape", Error, "a sample has one value, or timestamps, or as many values as timestamps"},
	ruleMixedShapes:        {"mixed-shapes", Error, "the samples of a profile have one shape"},
	ruleSampleDuplicate:    {"sample-duplicate", Warning, "samples of a profile with the same stack, attributes and link are one"},
	ruleTimeWindow:         {"time-window", Warning, "timestamps are at the start of the profile or later, and before its end"},
	ruleWindowEnd:          {"window-end", Error, "a profile ends at a time that 64 bits can hold"},
	ruleProfileID:          {"profile-id", Error, "a profile ID has 16 bytes, which are not all zero, or is not there"},
	rulePayload:            {"payload", Error, "original_payload and original_payload_format are there together or not at all"},
	ruleUnit:               {"unit", Warning, "a unit is one of UCUM, or of those that pprof knows"},
	ruleUTF8:               {"utf8", Error, "texts are UTF-8"},
	ruleNesting:            {"nesting", Warning, "values of attributes do not nest deeper than 16"},
	ruleUnknownField:       {"unknown-field", Warning, "fields are those of profiles v1development of OTLP 1.10"},
}

// Rules returns all rules, in the order in which their findings are counted.
func Rules() []Rule { return append([]Rule(nil), rules[:]...) }
