// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"net"
	"testing"
)

// TestFreeAddress: of so many that are random, some would be the same.
func TestFreeAddress(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for range 500 {
		address, err := FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if given[address] {
			t.Errorf("%s is given twice", address)
		}
		given[address] = true
	}
	for address := range given {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		return
	}
}
