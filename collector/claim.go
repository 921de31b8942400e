// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package collector

import (
	"fmt"
	"sync"
)

// claim lets one receiver at a time sample the host.
type claim struct {
	mu     sync.Mutex
	holder string
}

// thisHost is what all receivers of the process sample.
var thisHost claim

func (c *claim) take(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holder != "" {
		return fmt.Errorf("receiver %s samples this host already, and a second one would take every sample twice: "+
			"name %s in all pipelines that need profiles, and remove %s", c.holder, c.holder, id)
	}
	c.holder = id
	return nil
}

func (c *claim) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holder = ""
}
