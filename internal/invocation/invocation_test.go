// SPDX-License-Identifier: Apache-2.0

package invocation

import "testing"

func TestName(t *testing.T) {
	t.Parallel()
	f := func(want string, args ...string) {
		t.Helper()
		if got := name(args, "agent"); got != want {
			t.Errorf("%q: %q, not %q", args, got, want)
		}
	}
	f("agent")
	f("agent", "")
	f("agent", "/")
	f("agent", "bin/agent", "status")
	f("strobe-agent", "/usr/bin/strobe-agent")
	f("strobe-agent", "strobe-agent", "-help")
	f("agent", "/tmp/go-build1/b001/agent.test", "-test.v")
	if got := Name("agent"); got != "agent" {
		t.Errorf("this test is %q", got)
	}
}
