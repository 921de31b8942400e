// SPDX-License-Identifier: Apache-2.0

// Package skip skips tests that this host cannot run, never in silence.
package skip

import (
	"os"
	"testing"
)

// ForbidVar names the variable that makes a skipped test fail, when it is set
// to anything but "". CI sets it, so that a test which no longer runs is seen.
const ForbidVar = "STROBE_FORBID_SKIPS"

// Because skips the test and prints why, or fails it where skips are forbidden.
func Because(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv(ForbidVar) != "" {
		t.Fatalf("skipped although %s is set: %s", ForbidVar, reason)
	}
	t.Skip(reason)
}

// UnlessRoot skips the test unless it runs as root.
func UnlessRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Because(t, "needs root: it loads eBPF programs")
	}
}
