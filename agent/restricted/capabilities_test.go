// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Capabilities that the agent uses.
const (
	bpf        = unix.CAP_BPF
	perfmon    = unix.CAP_PERFMON
	ptrace     = unix.CAP_SYS_PTRACE
	syslog     = unix.CAP_SYSLOG
	search     = unix.CAP_DAC_READ_SEARCH
	checkpoint = unix.CAP_CHECKPOINT_RESTORE
	admin      = unix.CAP_SYS_ADMIN
	override   = unix.CAP_DAC_OVERRIDE
)

// TestCapabilities is the table of docs/privileges.md: what works with which capabilities.
func TestCapabilities(t *testing.T) {
	s := startSubjects(t)
	for name, test := range map[string]struct {
		r    restriction
		want []string
	}{
		"all":                            {restriction{}, everything},
		"six":                            {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace, syslog, search, checkpoint}}, everything},
		"without CAP_SYS_PTRACE":         {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, syslog, search, checkpoint}}, []string{kernel, "name"}},
		"without CAP_SYSLOG":             {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace, search, checkpoint}}, without(kernel)},
		"without CAP_DAC_READ_SEARCH":    {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace, syslog, checkpoint}}, without(private)},
		"without CAP_CHECKPOINT_RESTORE": {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace, syslog, search}}, without(deleted)},
		"three":                          {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace}}, without(kernel, private, deleted)},
		"CAP_SYS_ADMIN":                  {restriction{Capabilities: []int{admin, ptrace, override}}, everything},
		"only two":                       {restriction{Nobody: true, Capabilities: []int{bpf, perfmon}}, []string{"name"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, messages := s.measure(t, &test.r)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("features (-want +got):\n%s\n%s", diff, messages)
			}
		})
	}
}
