// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// The ports that [FreeAddress] gives: those of the tests, see support/program. The kernel gives
// out others to whoever asks it for any port, so that a server may start late, or be away for long.
const (
	firstPort = 20_000
	ports     = 10_000
)

// FreeAddress returns a loopback address that nobody listens on. It gives each only once, and no
// test of this machine is given the same until this process ends. It is safe for concurrent use.
func FreeAddress() (string, error) {
	const tries = 1000
	var last error
	for range tries {
		port := firstPort + rand.IntN(ports) //nolint:gosec // nobody has to be kept from guessing it
		// A name in the kernel alone, under which the tests claim a port, too. Its descriptor is
		// not closed: the claim ends with the process.
		claim, err := net.Listen("unix", fmt.Sprintf("@strobe-test-port-%d", port))
		if last = err; err != nil {
			continue // of a test, or given already
		}
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if last = err; err != nil {
			_ = claim.Close()
			continue
		}
		_ = l.Close() // nothing was accepted
		claims <- claim
		return fmt.Sprintf("127.0.0.1:%d", port), nil
	}
	return "", fmt.Errorf("find a free port from %d on, in %d tries: %w", firstPort, tries, last)
}

// claims keeps the claims from being collected, which would close them.
var claims = make(chan net.Listener, ports)
