// SPDX-License-Identifier: Apache-2.0

package hostfile

import (
	"fmt"
	"io"
	"os"
)

// ReadAll reads a whole file; one that has more than limit bytes, or grows above
// them meanwhile, is refused.
func ReadAll(f *os.File, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if int64(len(b)) > limit {
		return nil, Refuse(TooLarge, "read %s: more than %d bytes", f.Name(), limit)
	}
	return b, nil
}
