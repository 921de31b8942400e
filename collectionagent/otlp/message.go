// SPDX-License-Identifier: Apache-2.0

package otlp

// message is a request as flat tables. It holds what the request says, of which
// only the form was checked. Its arrays are used again for other requests.
type message struct {
	texts      [][]byte // string_table
	attributes []attributeEntry
	mappings   []mappingEntry
	functions  []functionEntry
	locations  []locationEntry
	links      []linkEntry
	stacks     []extent // of indices

	resources []resourceEntry
	scopes    []extent // of profiles
	profiles  []profileEntry
	samples   []sampleEntry

	lines     []lineEntry
	indices   []int32 // of stacks, mappings, locations and samples
	ofProfile []int32 // attribute_indices of profiles
	values    []int64
	times     []uint64
	keyValues []keyValue // of resources
	elements  []value    // of lists

	// charge is called before n entries of a table are made.
	charge func(field string, n int, bytes int64) error
	// charged are how many entries of each table were charged, by its place in
	// the list of constants.
	charged [tableCount]int
	// arena holds the texts of a request that did not come as bytes.
	arena []byte
}

// extent is a range of a table.
type extent struct{ from, to uint32 }

func (e extent) len() int { return int(e.to - e.from) }

type attributeEntry struct {
	key, unit int32
	value     value
}

type mappingEntry struct {
	start, limit, offset uint64
	filename             int32
	attributes           extent // of indices
}

type functionEntry struct {
	name, system, file int32
	startLine          int64
}

type locationEntry struct {
	address           uint64
	mapping           int32
	lines, attributes extent
}

type lineEntry struct {
	line     int64
	function int32
}

// linkEntry has the first bytes of IDs, whose lengths are not checked.
type linkEntry struct {
	trace             [16]byte
	span              [8]byte
	traceLen, spanLen int
}

type resourceEntry struct {
	attributes extent // of keyValues
	scopes     extent
}

type profileEntry struct {
	sampleType, periodType valueType
	time, duration         uint64
	period                 int64
	samples                extent
	attributes             extent // of ofProfile
}

type valueType struct{ typ, unit int32 }

type sampleEntry struct {
	stack, link               int32
	attributes, values, times extent
}

type keyValue struct {
	key   []byte
	index int32 // of the key in the string table
	value value
}

// value is what OTLP calls AnyValue.
type value struct {
	kind   valueKind
	text   []byte // of a text or bytes
	number uint64 // the bits of a number, a boolean or an index
	list   extent // of elements
}

type valueKind uint8

// Kinds of values.
const (
	noValue valueKind = iota
	stringValue
	boolValue
	intValue
	doubleValue
	listValue
	mapValue // what it holds is not kept
	bytesValue
	indexValue
)

// A table of a message, as far as its entries are charged one by one.
type table uint8

const (
	textTable table = iota
	attributeTable
	mappingTable
	functionTable
	locationTable
	linkTable
	stackTable
	resourceTable
	scopeTable
	profileTable
	sampleTable
	lineTable
	indexTable
	profileAttributeTable
	valueTable
	timeTable
	keyValueTable
	elementTable
	arenaTable // of bytes
	tableCount
)

// tableFields are the names of the tables in errors.
var tableFields = [tableCount]string{
	"dictionary.string_table", "dictionary.attribute_table", "dictionary.mapping_table", "dictionary.function_table",
	"dictionary.location_table", "dictionary.link_table", "dictionary.stack_table", "resource_profiles", "scope_profiles",
	"profiles", "samples", "lines", "indices", "attribute_indices", "values", "timestamps_unix_nano", "attributes", "array_value.values",
	"request",
}

// tableBytes are the sizes of their entries, with what is made of each and what is
// left behind when a table grows.
var tableBytes = [tableCount]int64{
	40, 160, 200, 64, 64, 80, 16, 40, 16, 128, 48, 24, 6, 6, 12, 12, 200, 80, 2,
}

// grow charges for entries of a table that has n and gets more. It charges ahead,
// half as many as there are, so that it seldom has to.
func (m *message) grow(t table, n, more int) error {
	if n += more; n <= m.charged[t] {
		return nil
	}
	add := n - m.charged[t] + n/2 + 64
	m.charged[t] += add
	if m.charge == nil {
		return nil
	}
	return m.charge(tableFields[t], add, tableBytes[t])
}

// reset empties the tables.
func (m *message) reset() {
	clear(m.texts) // what refers to the bytes of a request
	clear(m.attributes)
	clear(m.keyValues)
	clear(m.elements)
	*m = message{
		texts: m.texts[:0], attributes: m.attributes[:0], mappings: m.mappings[:0], functions: m.functions[:0],
		locations: m.locations[:0], links: m.links[:0], stacks: m.stacks[:0], resources: m.resources[:0], scopes: m.scopes[:0],
		profiles: m.profiles[:0], samples: m.samples[:0], lines: m.lines[:0], indices: m.indices[:0], ofProfile: m.ofProfile[:0],
		values: m.values[:0], times: m.times[:0], keyValues: m.keyValues[:0], elements: m.elements[:0], arena: m.arena[:0],
	}
}

// size returns the bytes that the tables take.
func (m *message) size() int {
	return capacity(m.texts) + capacity(m.attributes) + capacity(m.mappings) + capacity(m.functions) + capacity(m.locations) +
		capacity(m.links) + capacity(m.stacks) + capacity(m.resources) + capacity(m.scopes) + capacity(m.profiles) +
		capacity(m.samples) + capacity(m.lines) + capacity(m.indices) + capacity(m.ofProfile) + capacity(m.values) +
		capacity(m.times) + capacity(m.keyValues) + capacity(m.elements) + capacity(m.arena)
}
