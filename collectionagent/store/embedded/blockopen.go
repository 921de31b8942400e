// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"io"
	"os"
)

// blockReader is what reading a block needs of a file, wherever that is.
type blockReader interface {
	io.ReaderAt
	io.Closer
	// Size returns how many bytes there are.
	Size() (int64, error)
}

// localFile is a file in the directory of blocks.
type localFile struct{ *os.File }

// Size implements [blockReader].
func (f localFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
