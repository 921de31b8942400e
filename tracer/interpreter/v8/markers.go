// SPDX-License-Identifier: Apache-2.0

package v8

import "strings"

// markers are names for frames that are no function's, by the number that V8
// puts into them.
type markers map[uint64]string

// markerPrefix begins the names of the constants that list them.
const markerPrefix = "frametype_"

func newMarkers(c map[string]int32) markers {
	m := markers{}
	for name, v := range c {
		kind, ok := strings.CutPrefix(name, markerPrefix)
		if !ok || v <= 0 {
			continue
		}
		kind = strings.TrimSuffix(kind, "Frame")
		text := "(" + kind + ")"
		switch {
		case kind == "Wasm":
			text = "(WebAssembly function)"
		case kind == "Irregexp":
			text = "(regular expression)"
		case kind == "Stub", strings.HasPrefix(kind, "TurbofanStub"):
			text = "(stub)"
		case strings.Contains(kind, "Wasm"):
			text = "(WebAssembly " + strings.ReplaceAll(kind, "Wasm", "") + ")"
		}
		m[uint64(v)] = text
	}
	return m
}

func (m markers) name(kind uint64) string {
	if s, ok := m[kind]; ok {
		return s
	}
	return "(native code)"
}
