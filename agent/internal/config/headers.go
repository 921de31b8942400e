// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// maxHeaderBytes bounds the file of headers, in case it is another one.
const maxHeaderBytes = 64 << 10

// readHeaders reads headers, each on a line NAME: VALUE; empty lines and those that begin
// with # count for nothing. What is a name and a value is up to whoever sends them. No
// error shows a value: it may be secret.
func readHeaders(path string) (map[string]string, error) {
	// Opening a FIFO would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	if err := checkSecretMode(path, info.Mode().Perm()); err != nil {
		return nil, err
	}
	headers := map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(f, maxHeaderBytes+1))
	lines.Buffer(nil, maxHeaderBytes)
	read := 0
	for n := 1; lines.Scan(); n++ {
		read += len(lines.Bytes()) + 1
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		switch _, twice := headers[name]; {
		case !ok || name == "":
			return nil, fmt.Errorf("%s:%d: want NAME: VALUE", path, n)
		case twice:
			return nil, fmt.Errorf("%s:%d: header %s is there twice", path, n, name)
		}
		headers[name] = strings.TrimSpace(value)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) || read > maxHeaderBytes {
		return nil, fmt.Errorf("%s is larger than %d KiB, so it holds no headers", path, maxHeaderBytes>>10)
	} else if err != nil {
		return nil, err
	}
	return headers, nil
}

// checkSecretMode reports whether others may read or change a file with a secret in it.
func checkSecretMode(path string, mode fs.FileMode) error {
	if mode&0o007 != 0 || mode&0o020 != 0 {
		return fmt.Errorf("%s can be read or changed by others (mode %04o): chmod 0600 it, or 0640 for a group that may read it", path, mode)
	}
	return nil
}
