// SPDX-License-Identifier: Apache-2.0

package push

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseTime reads a time as clients send it: a number of seconds, milliseconds, microseconds or
// nanoseconds since 1970, which their size tells apart from 1973 on; RFC 3339; now or now-5m.
func parseTime(text string, now time.Time) (time.Time, error) {
	t, err := anyTime(text, now)
	if err == nil && (t.Before(time.Unix(0, 1)) || t.After(time.Unix(0, math.MaxInt64))) {
		return t, errors.New("is not a time from 1970 to 2262")
	}
	return t, err
}

func anyTime(text string, now time.Time) (time.Time, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		switch {
		case n < 1e11:
			return time.Unix(n, 0), nil
		case n < 1e14:
			return time.UnixMilli(n), nil
		case n < 1e17:
			return time.UnixMicro(n), nil
		}
		return time.Unix(0, n), nil
	}
	if ago, ok := strings.CutPrefix(text, "now"); ok {
		if ago == "" {
			return now, nil
		}
		if d, err := time.ParseDuration(ago); err == nil && d <= 0 {
			return now.Add(d), nil
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, errors.New("expected a time: a number of seconds since 1970, 2026-11-21T10:00:00Z, or now-5m")
}
