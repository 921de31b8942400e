// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"

	"github.com/strobe-profiler/strobe/proto/tokenfile"
)

// CheckToken reports what is wrong with the token file, if there is to be one. It
// returns nothing of what is in it: whoever sends the token reads it then, as it
// may have been replaced.
func (c *Config) CheckToken() error {
	if c.TokenFile == "" {
		return nil
	}
	_, mode, err := tokenfile.Read(c.TokenFile)
	if err != nil {
		return fmt.Errorf("-token-file: %w", err)
	}
	if mode&0o007 != 0 || mode&0o020 != 0 {
		return fmt.Errorf("-token-file: %s can be read or changed by others (mode %04o): chmod 0600 it, or 0640 for a group that may read it", c.TokenFile, mode)
	}
	return nil
}
