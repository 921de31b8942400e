// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"fmt"
	"sync"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// jsonMessage is what is known of the fields of a message when it comes as JSON.
type jsonMessage struct {
	// fields by both of their names: OTLP asks for lowerCamelCase, but what is sent with
	// the names of the schema must not count as unknown and get lost.
	fields map[string]*jsonField
	// gone are names that only older layouts have, see [ErrOldLayout].
	gone map[string]bool
}

// jsonField is a field of a message.
type jsonField struct {
	name    string // in the schema, as in errors
	number  protowire.Number
	kind    protoreflect.Kind
	list    bool
	hex     bool         // bytes that OTLP writes as digits
	message *jsonMessage // nil: it is none
	place   uint         // among the fields of its message
	oneOf   bool
}

// hexFields are the IDs.
var hexFields = map[protoreflect.Name]bool{"trace_id": true, "span_id": true, "profile_id": true}

// goneFields are the fields of OTLP 1.8 and before whose loss would go unnoticed, by
// message. JSON of 1.9 has the names of today.
var goneFields = map[protoreflect.Name]map[string]bool{
	"Profile":  {"sample": true, "timeNanos": true, "time_nanos": true, "locationIndices": true, "location_indices": true},
	"Sample":   {"value": true, "locationsStartIndex": true, "locations_start_index": true},
	"Location": {"line": true},
}

// jsonRequest returns what is known of a request.
var jsonRequest = sync.OnceValue(func() *jsonMessage {
	return makeJSONMessage((&collector.ExportProfilesServiceRequest{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]*jsonMessage{})
})

// makeJSONMessage reads the schema of a message. made are those of the messages
// around it: values hold values.
func makeJSONMessage(d protoreflect.MessageDescriptor, made map[protoreflect.FullName]*jsonMessage) *jsonMessage {
	if m := made[d.FullName()]; m != nil {
		return m
	}
	m := &jsonMessage{fields: make(map[string]*jsonField), gone: goneFields[d.Name()]}
	made[d.FullName()] = m
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		f := &jsonField{
			name: string(fd.Name()), number: fd.Number(), kind: fd.Kind(), list: fd.IsList(), hex: hexFields[fd.Name()],
			place: uint(i), oneOf: fd.ContainingOneof() != nil, //nolint:gosec // not negative
		}
		if fd.Message() != nil {
			f.message = makeJSONMessage(fd.Message(), made)
		}
		if fd.IsMap() || i >= 64 { // of a schema, not of data
			panic(fmt.Sprintf("field %s cannot be read from JSON", fd.FullName()))
		}
		m.fields[fd.JSONName()], m.fields[string(fd.Name())] = f, f
	}
	return m
}
