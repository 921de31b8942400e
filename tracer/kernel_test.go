// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// TestCheckKernel: only a kernel that is known to lack a helper is refused, with a
// reason that helps.
func TestCheckKernel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		missing asm.BuiltinFunc
		err     error
		want    error
		says    string
	}{
		"has all":        {},
		"too old":        {asm.FnLoop, errNotInKernel, errTooOld, "5.17"},
		"locked down":    {asm.FnProbeReadKernel, errNotInKernel, errLockdown, "lockdown"},
		"refuses to say": {asm.FnLoop, unix.EPERM, nil, ""},
	} {
		err := checkKernel(func(fn asm.BuiltinFunc) error {
			if fn == c.missing {
				return c.err
			}
			return nil
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
	}
}
