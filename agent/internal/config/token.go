// SPDX-License-Identifier: Apache-2.0

package config

import (
	stdbytes "bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxTokenBytes bounds the token file, in case it is another file.
const maxTokenBytes = 4 << 10

// CheckToken reports what is wrong with the token file, if there is to be one. It
// returns nothing of what is in it: whoever sends the token reads it then, as it
// may have been replaced.
func (c *Config) CheckToken() error {
	if c.TokenFile == "" {
		return nil
	}
	if err := checkTokenFile(c.TokenFile); err != nil {
		return fmt.Errorf("-token-file: %w", err)
	}
	return nil
}

func checkTokenFile(name string) error {
	// Opening a FIFO would wait for a writer.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file: write the token into one", name)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 || mode&0o020 != 0 {
		return fmt.Errorf("%s can be read or changed by others (mode %04o): chmod 0600 it, or 0640 for a group that may read it", name, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTokenBytes+1))
	if err != nil {
		return err
	}
	if len(b) > maxTokenBytes {
		return fmt.Errorf("%s is larger than %v, so it holds no token", name, Bytes(maxTokenBytes))
	}
	token := stdbytes.TrimSpace(b)
	if len(token) == 0 {
		return fmt.Errorf("%s is empty: write a token into it, as \"collectionagent token create\" prints one", name)
	}
	// A header of a request can hold nothing else.
	if stdbytes.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New(name + " holds more than one token: it must be one line of printable ASCII characters without spaces")
	}
	return nil
}
