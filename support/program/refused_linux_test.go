// SPDX-License-Identifier: Apache-2.0

package program

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestRefusedAddress(t *testing.T) {
	t.Parallel()
	address := RefusedAddress(t)
	if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, %v", conn, err)
	}
	// Nor where it wants to reuse addresses, as listeners of Go do.
	if l, err := net.Listen("tcp", address); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("somebody else listens: %v, %v", l, err)
	}
	if other := RefusedAddress(t); other == address {
		t.Errorf("both are %s", address)
	}
}
