// SPDX-License-Identifier: Apache-2.0

package callproxy

import (
	"fmt"

	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// message is a message as it travels, decompressed.
type message struct{ bytes []byte }

// codec passes messages on without looking into them.
type codec struct{}

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*message)
	if !ok {
		return nil, fmt.Errorf("pass a message on: got a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(m.bytes)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("pass a message on: got a %T", v)
	}
	m.bytes = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2: both peers speak protocol buffers.
func (codec) Name() string { return protocodec.Name }
