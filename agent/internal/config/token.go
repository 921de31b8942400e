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
	if err := checkSecretMode(c.TokenFile, mode); err != nil {
		return fmt.Errorf("-token-file: %w", err)
	}
	return nil
}
