// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"fmt"
	"slices"
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
	// From about 6.14 on CAP_PERFMON is enough to read the mappings and environments of others.
	look := restriction{Nobody: true, Capabilities: []int{perfmon}}
	mayRead := look.runProgram(t, "/bin/cat", fmt.Sprintf("/proc/%d/maps", s[native])).status == 0
	for title, test := range map[string]struct {
		r    restriction
		want []string
	}{
		"all":                            {restriction{}, everything},
		"six":                            {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace, syslog, search, checkpoint}}, everything},
		"without CAP_SYS_PTRACE":         {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, syslog, search, checkpoint}}, []string{native, kernel, private, name}},
		"without CAP_SYSLOG":             {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace, search, checkpoint}}, without(kernel)},
		"without CAP_DAC_READ_SEARCH":    {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace, syslog, checkpoint}}, without(deleted, private, identity)},
		"without CAP_CHECKPOINT_RESTORE": {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace, syslog, search}}, without(deleted)},
		"three":                          {restriction{Nobody: true, Capabilities: []int{bpf, perfmon, ptrace}}, without(kernel, deleted, private, identity)},
		"CAP_SYS_ADMIN":                  {restriction{Capabilities: []int{admin, ptrace, override}}, without(kernel)},
		"only two":                       {restriction{Nobody: true, Capabilities: []int{bpf, perfmon}}, []string{native, name}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			got, messages := s.measure(t, &test.r)
			if test.r.Nobody && !slices.Contains(test.r.Capabilities, ptrace) {
				got = slices.DeleteFunc(got, func(f string) bool { return f == identity }) // depends on the kernel
			}
			if test.r.Nobody && !slices.Contains(test.r.Capabilities, ptrace) && !mayRead {
				test.want = slices.DeleteFunc(test.want, func(f string) bool { return f != kernel && f != name })
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("features (-want +got):\n%s\n%s", diff, messages)
			}
		})
	}
}
