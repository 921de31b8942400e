// SPDX-License-Identifier: Apache-2.0

package hostmemory

import (
	"errors"
	"testing"
)

func TestFit(t *testing.T) {
	t.Parallel()
	wanted := Grant{Limit: 256 << 20, Tables: 64 << 20}
	for _, test := range []struct {
		available int64
		want      Grant
		err       bool
	}{
		{1 << 40, wanted, false},
		{310 << 20, wanted, false},
		{160 << 20, Grant{117 << 20, 29 << 20}, false},
		{96 << 20, Grant{57 << 20, 14 << 20}, false},
		{95 << 20, Grant{}, true},
		{0, Grant{}, true},
	} {
		got, err := fit(wanted, test.available, 2)
		var small *TooSmallError
		if got != test.want || (err != nil) != test.err || test.err && !errors.As(err, &small) {
			t.Errorf("%d MiB: %v, %v", test.available>>20, got, err)
		}
		if test.err && small.Least != 96<<20 {
			t.Errorf("%d MiB: %v", test.available>>20, err)
		}
		if !test.err && got.Limit-got.Tables < leastRuntime {
			t.Errorf("%d MiB: %v leaves %v", test.available>>20, got, got.Limit-got.Tables)
		}
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		grant       Grant
		symbols     int64
		definitions uint32
	}{
		{Grant{256 << 20, 64 << 20}, 64 << 20, 1 << 16}, // what is wanted by default
		{Grant{1 << 40, 64 << 20}, 64 << 20, 1 << 16},
		{Grant{117 << 20, 29 << 20}, 64 << 20 * 2 / 5, 36044},
		{Grant{57 << 20, 14 << 20}, 19 << 20 * 2 / 5, 17612}, // the least that Fit grants
		{Grant{20 << 20, 10 << 20}, 4 << 20, 1 << 12},        // by hand
	} {
		if s, d := test.grant.Symbols(), test.grant.Definitions(); s != test.symbols || d != test.definitions {
			t.Errorf("%v: %d bytes of symbols, %d definitions, want %d, %d", test.grant, s, d, test.symbols, test.definitions)
		}
	}
}
