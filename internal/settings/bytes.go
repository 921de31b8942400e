// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Bytes is a number of bytes. It reads and prints with a binary unit.
type Bytes int64

var byteUnits = []struct {
	name string
	size Bytes
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String returns the number in the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}

// ParseBytes reads a number of bytes: 67108864, 64MiB, 64M. All units are
// powers of 1,024, as everywhere in Linux.
func ParseBytes(s string) (Bytes, error) {
	digits := strings.TrimRight(s, "BKMGTibkmgt")
	unit := strings.ToUpper(strings.TrimSpace(s[len(digits):]))
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a number of bytes such as 64MiB or 67108864", s)
	}
	size := Bytes(1)
	if unit != "" && unit != "B" {
		i := slices.IndexFunc(byteUnits, func(u struct {
			name string
			size Bytes
		},
		) bool {
			full := strings.ToUpper(u.name)
			return unit == full || unit == full[:1] || unit == full[:1]+"B"
		})
		if i < 0 {
			return 0, fmt.Errorf("%q has no unit that is known: use KiB, MiB, GiB", s)
		}
		size = byteUnits[i].size
	}
	if n > math.MaxInt64/int64(size) {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return Bytes(n) * size, nil
}
