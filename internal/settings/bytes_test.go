// SPDX-License-Identifier: Apache-2.0

package settings

import "testing"

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Bytes{
		"0": 0, "1": 1, "64MiB": 64 << 20, "64M": 64 << 20, "64 MB": 64 << 20, "2g": 2 << 30, "1k": 1024, "5B": 5, "1TiB": 1 << 40,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1.5M", "M", "9999999999G", "1MM", "1iB"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %v, want an error", text, got)
		}
	}
	for b, want := range map[Bytes]string{0: "0", 1: "1", 1 << 20: "1MiB", 1<<20 + 1: "1048577", 3 << 30: "3GiB"} {
		if got := b.String(); got != want {
			t.Errorf("%d prints as %q, want %q", int64(b), got, want)
		}
	}
}
