// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// footerTail is what follows the footer of a file: its length, and the magic.
const footerTail = 8

// withoutColumnIndex takes the least and greatest values of pages out of the end of a
// file, which is all that comes behind the pages. For columns without bounds they are
// empty, which readers take for bounds that no value fits: ClickHouse found no
// row where project was anything. Those of row groups stay.
func withoutColumnIndex(end []byte) ([]byte, error) {
	if len(end) < footerTail {
		return nil, fmt.Errorf("%w: footer of %d bytes", errCodec, len(end))
	}
	n := int(binary.LittleEndian.Uint32(end[len(end)-footerTail:]))
	start := len(end) - footerTail - n
	if n < 0 || start < 0 {
		return nil, fmt.Errorf("%w: footer of %d bytes in %d", errCodec, n, len(end))
	}
	var meta format.FileMetaData
	protocol := &thrift.CompactProtocol{}
	if err := thrift.Unmarshal(protocol, end[start:start+n], &meta); err != nil {
		return nil, fmt.Errorf("read footer of block: %w", err)
	}
	for i := range meta.RowGroups {
		for j := range meta.RowGroups[i].Columns {
			c := &meta.RowGroups[i].Columns[j]
			c.ColumnIndexOffset, c.ColumnIndexLength = 0, 0
		}
	}
	footer, err := thrift.Marshal(protocol, &meta)
	if err != nil {
		return nil, fmt.Errorf("write footer of block: %w", err)
	}
	out := append(end[:start:start], footer...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(footer))) //nolint:gosec // smaller than before
	return append(out, end[len(end)-footerTail+4:]...), nil
}
