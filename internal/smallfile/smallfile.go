// SPDX-License-Identifier: Apache-2.0

// Package smallfile reads files of settings and secrets, which somebody may have
// mistaken for others.
package smallfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Read returns what is in a regular file of at most so many KiB, and what the file is,
// which is also there where only the content is refused. It never waits.
func Read(path string, maxKiB int64) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // whose file the caller knows; a FIFO would wait for a writer
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, fmt.Errorf("%s is no regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKiB<<10+1))
	if err != nil {
		return nil, info, err
	}
	if int64(len(b)) > maxKiB<<10 {
		return nil, info, fmt.Errorf("%s is larger than %d KiB", path, maxKiB)
	}
	return b, info, nil
}
