// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// description is what the runtime says of itself to debuggers since .NET 9: the
// data contract descriptor, docs/design/datacontracts of its sources.
type description struct {
	Types   map[string]map[string]json.RawMessage `json:"types"`
	Globals map[string]json.RawMessage            `json:"globals"`

	pointers []uint64
}

const (
	descriptionSymbol = "DotNetRuntimeContractDescriptor"
	descriptionMagic  = 0x0043414443434e44 // "DNCCDAC"
	maxDescription    = 1 << 20
	maxPointers       = 4096
)

// readDescription reads the description of a running runtime: magic, flags, size
// and address of the text, number and address of the globals that are pointers.
func readDescription(mem process.Memory, addr uint64) (*description, error) {
	var head [40]byte
	if err := mem.Read(head[:], addr); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint64(head[:]) != descriptionMagic {
		return nil, fmt.Errorf("description of the runtime has an unknown form: %w", errLayout)
	}
	text, err := mem.Bytes(le.Uint64(head[16:]), uint64(le.Uint32(head[12:])), maxDescription)
	if err != nil {
		return nil, err
	}
	d, err := parseDescription(text)
	if err != nil {
		return nil, err
	}
	n := min(le.Uint32(head[24:]), maxPointers)
	raw, err := mem.Bytes(le.Uint64(head[32:]), uint64(n)*8, maxPointers*8)
	if err != nil {
		return nil, err
	}
	for ; len(raw) >= 8; raw = raw[8:] {
		d.pointers = append(d.pointers, le.Uint64(raw))
	}
	return d, nil
}

func parseDescription(text []byte) (*description, error) {
	for len(text) > 0 && text[len(text)-1] == 0 {
		text = text[:len(text)-1]
	}
	var d description
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("parse description of the runtime: %w", err)
	}
	return &d, nil
}

// offset returns where a field is: a number, or a list of it and the field's type.
func (d *description) offset(typ, field string) (uint16, bool) {
	raw, ok := d.Types[typ][field]
	if !ok {
		return 0, false
	}
	var n float64
	if json.Unmarshal(raw, &n) != nil {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil || len(list) == 0 || json.Unmarshal(list[0], &n) != nil {
			return 0, false
		}
	}
	if n < 0 || n > math.MaxUint16 {
		return 0, false
	}
	return uint16(n), true
}

// value takes the type away from a global: ["0xc","uint8"] or [[1],"pointer"].
func value(raw json.RawMessage) json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) == 2 {
		return list[0]
	}
	return raw
}

// number returns a global that is a constant.
func (d *description) number(name string) (uint64, bool) {
	raw, ok := d.Globals[name]
	if !ok {
		return 0, false
	}
	var s string
	if json.Unmarshal(value(raw), &s) != nil {
		s = string(value(raw))
	}
	n, err := strconv.ParseUint(s, 0, 64)
	return n, err == nil
}

// pointer returns a global that is the address of something.
func (d *description) pointer(name string) (uint64, bool) {
	raw, ok := d.Globals[name]
	if !ok {
		return 0, false
	}
	var index []int
	if json.Unmarshal(value(raw), &index) != nil {
		// Without a type the index stands alone.
		return 0, false
	}
	if len(index) != 1 || index[0] < 0 || index[0] >= len(d.pointers) {
		return 0, false
	}
	return d.pointers[index[0]], true
}
