// SPDX-License-Identifier: Apache-2.0

// Package tokenfile reads the bearer token in a file. What a token may be is the same
// for those that check the file at the start and those that send the token later. No
// error shows what is in the file.
package tokenfile

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// MaxBytes bounds the file, in case it is another one.
const MaxBytes = 4 << 10

// Read returns the token in a file, and the permissions of the file.
func Read(path string) (token string, mode fs.FileMode, err error) {
	// Opening a FIFO would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	mode = info.Mode().Perm()
	if !info.Mode().IsRegular() {
		return "", mode, fmt.Errorf("%s is no regular file: write the token into one", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return "", mode, err
	}
	if len(b) > MaxBytes {
		return "", mode, fmt.Errorf("%s is larger than %d KiB, so it holds no token", path, MaxBytes>>10)
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return "", mode, fmt.Errorf("%s is empty: write a token into it, as \"collectionagent token create\" prints one", path)
	}
	// A header of a request can hold nothing else.
	if bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", mode, fmt.Errorf("%s holds more than one token: it must be one line of printable ASCII characters without spaces", path)
	}
	return string(b), mode, nil
}
