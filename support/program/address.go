// SPDX-License-Identifier: Apache-2.0

package program

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// The ports that [ClaimAddress] gives. The kernel gives out others, from 32768 on unless
// net.ipv4.ip_local_port_range says otherwise, to whoever asks it for any port: to a listener of
// another test, or to a connection.
const (
	firstPort = 20_000
	ports     = 10_000
)

// FreeAddress is [ClaimAddress] until the test ends.
func FreeAddress(t testing.TB) string {
	t.Helper()
	address, release, err := ClaimAddress()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return address
}

// ClaimAddress returns a loopback address that nobody listens on, on this and on all interfaces.
// Until release is called, or this process ends, nobody else on this machine who asks here is given
// the same, so that a program may be started there late, or ended and started again. It is safe for
// concurrent use.
func ClaimAddress() (address string, release func(), err error) {
	const tries = 1000
	for range tries {
		port := firstPort + rand.IntN(ports) //nolint:gosec // nobody has to be kept from guessing it
		// A name in the kernel alone, which is free again when this process ends, however it does.
		var claim net.Listener
		if claim, err = net.Listen("unix", fmt.Sprintf("@strobe-test-port-%d", port)); err != nil {
			continue // of another test
		}
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); err != nil {
			_ = claim.Close()
			continue
		}
		_ = l.Close() // nothing was accepted
		return fmt.Sprintf("127.0.0.1:%d", port), func() { _ = claim.Close() }, nil
	}
	return "", nil, fmt.Errorf("no free port from %d on after %d tries: %w", firstPort, tries, err)
}
