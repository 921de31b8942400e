// SPDX-License-Identifier: Apache-2.0

package settings

import "testing"

func TestDialable(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"127.0.0.1:7071": "127.0.0.1:7071", ":7071": "127.0.0.1:7071", "0.0.0.0:7071": "127.0.0.1:7071",
		"[::]:7071": "[::1]:7071", "web-1:7071": "web-1:7071", "nonsense": "nonsense",
	} {
		if got := Dialable(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
