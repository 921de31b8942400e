// SPDX-License-Identifier: Apache-2.0

// Package tokenfile reads the bearer token in a file. What a token may be is the same
// for those that check the file at the start and those that send the token later. No
// error shows what is in the file.
package tokenfile

import (
	"bytes"
	"fmt"
	"io/fs"

	"github.com/strobe-profiler/strobe/internal/smallfile"
)

// maxKiB bounds the file, in case it is another one.
const maxKiB = 4

// Read returns the token in a file, and the permissions of the file.
func Read(path string) (token string, mode fs.FileMode, err error) {
	b, info, err := smallfile.Read(path, maxKiB)
	if info == nil {
		return "", 0, err
	}
	mode = info.Mode().Perm()
	if err != nil {
		return "", mode, fmt.Errorf("%w, so it holds no token", err)
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
