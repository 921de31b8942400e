// SPDX-License-Identifier: Apache-2.0

package libpf

import "time"

// UnixTime32 is a time in seconds since the epoch. It overflows in 2106.
type UnixTime32 uint32

// NowAsUInt32 returns the current time in seconds since the epoch.
func NowAsUInt32() uint32 { return uint32(time.Now().Unix()) } //nolint:gosec // good until 2106

// Time returns the time in UTC.
func (t UnixTime32) Time() time.Time { return time.Unix(int64(t), 0).UTC() }

// UnixNano returns the time in nanoseconds since the epoch.
func (t UnixTime32) UnixNano() UnixTimeNs { return UnixTimeNs(t) * UnixTimeNs(time.Second) }

// String returns the time in RFC 3339.
func (t UnixTime32) String() string { return t.Time().Format(time.RFC3339) }

// UnixTimeNs is a time in nanoseconds since the epoch.
type UnixTimeNs int64

// Time returns the time in UTC.
func (t UnixTimeNs) Time() time.Time { return time.Unix(0, int64(t)).UTC() }

// Seconds returns the time in whole seconds since the epoch.
func (t UnixTimeNs) Seconds() UnixTime32 {
	return UnixTime32(int64(t) / int64(time.Second)) //nolint:gosec // good until 2106
}

// String returns the time in RFC 3339 with nanoseconds.
func (t UnixTimeNs) String() string { return t.Time().Format(time.RFC3339Nano) }
