// SPDX-License-Identifier: Apache-2.0

// Package pause lets time pass, unless a run is over.
package pause

import (
	"context"
	"time"
)

// For waits for d, and returns false as soon as ctx has ended.
func For(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
