// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"io"
	"os"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
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

// readFor says on whose behalf a block is read until the function that is returned is
// called: object storage may take long, and who asked may not wait for it any more.
// Everybody who reads pages of an open block calls it.
func readFor(ctx context.Context, r blockReader) (done func()) {
	if f, ok := r.(*objects.File); ok {
		return f.Use(ctx)
	}
	return func() {}
}
