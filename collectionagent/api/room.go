// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// room takes the memory of the rows of an answer from the claim of its question. Rows share their
// texts in memory, but in JSON each has its own: ten thousand of one process, whose labels may be
// megabytes, are as many times that.
type room struct{ claim *memory.Claim }

func newRoom(ctx context.Context) room { return room{memory.From(ctx)} }

const (
	// encodeCopies is how often a row is in memory while it becomes JSON: in two buffers that
	// grow by doubling.
	encodeCopies = 4
	// rowRoom is what a row takes beside its texts, and textRoom a text beside its bytes.
	rowRoom, textRoom = 400, 24
)

// row takes the memory of a row with some texts and labels. The labels of origin are those that
// are returned; nil for none.
func (r room) row(origin *store.Series, texts ...string) (labels map[string]string, err error) {
	n := int64(rowRoom)
	for _, t := range texts {
		n += encodedSize(t)
	}
	if origin != nil {
		labels = map[string]string{}
		origin.EachLabelName(func(name string) {
			value := origin.Label(name)
			labels[name] = value
			n += encodedSize(name) + encodedSize(value)
		})
	}
	return labels, r.claim.Take(n * encodeCopies)
}

// encodedSize returns about how many bytes a text is in JSON, rather too many.
func encodedSize(text string) int64 {
	n := textRoom + len(text)
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c >= utf8.RuneSelf: // \u0000, as each byte that is not UTF-8
			n += len(`\u0000`) - 1
		case c == '"' || c == '\\':
			n++
		}
	}
	return int64(n)
}
