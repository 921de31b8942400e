// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCheckKernel: only a kernel that is known to lack the helper is too old.
func TestCheckKernel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		probe  error
		tooOld bool
	}{
		"has it":         {nil, false},
		"lacks it":       {errNotInKernel, true},
		"refuses to say": {unix.EPERM, false},
	} {
		err := checkKernel(func() (string, error) { return "", c.probe })
		if errors.Is(err, errTooOld) != c.tooOld {
			t.Errorf("%s: %v", name, err)
		}
		if c.tooOld && !strings.Contains(err.Error(), "5.17") {
			t.Errorf("%s: %v does not say which kernel would do", name, err)
		}
	}
}
