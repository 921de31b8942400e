// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/strobe-profiler/strobe/internal/smallfile"
)

// maxHeaderKiB bounds the file of headers, in case it is another one.
const maxHeaderKiB = 64

// readHeaders reads headers, each on a line NAME: VALUE; empty lines and those that begin
// with # count for nothing. What is a name and a value is up to whoever sends them. No
// error shows a value: it may be secret.
func readHeaders(path string) (map[string]string, error) {
	b, info, err := smallfile.Read(path, maxHeaderKiB)
	if info == nil {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w, so it holds no headers", err)
	}
	if err := checkSecretMode(path, info.Mode().Perm()); err != nil {
		return nil, err
	}
	headers := map[string]string{}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
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
	return headers, nil
}

// checkSecretMode reports whether others may read or change a file with a secret in it.
func checkSecretMode(path string, mode fs.FileMode) error {
	if mode&0o007 != 0 || mode&0o020 != 0 {
		return fmt.Errorf("%s can be read or changed by others (mode %04o): chmod 0600 it, or 0640 for a group that may read it", path, mode)
	}
	return nil
}
