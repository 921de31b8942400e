// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/dockertest"
)

// capabilitiesOf returns the options of docker run for the capabilities that a file of Compose
// gives the agent.
func capabilitiesOf(t *testing.T, file string) (options []string) {
	t.Helper()
	for _, c := range dockertest.Services(t, "../../"+file)["agent"].CapAdd {
		options = append(options, "--cap-add", c)
	}
	if len(options) == 0 {
		t.Fatal(file + " gives the agent no capabilities")
	}
	return options
}

// judgeFilter runs the agent under the engine's own filter of system calls, with the capabilities
// that the files of Compose give it: the filter lets pass what the capabilities ask for. What the
// image names/agent does is judged on the container that spins.
func judgeFilter(t *testing.T, engine *dockertest.Daemon) {
	t.Helper()
	type result struct {
		stdout, stderr string
		status         int
	}
	run := func(capabilities []string, command ...string) result {
		args := append([]string{"run", "--rm", "--network", "none", "--pid", "host", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}, capabilities...)
		cmd := engine.Command(t.Context(), "docker", append(append(args, "names/agent"), command...)...)
		var out, messages bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &messages
		_ = cmd.Run() // its status tells
		return result{out.String(), messages.String(), cmd.ProcessState.ExitCode()}
	}
	profiles := func(t *testing.T, capabilities []string) {
		t.Helper()
		if got := run(capabilities, "doctor"); got.status != 0 || !strings.HasPrefix(got.stdout, "can profile, ") {
			t.Errorf("doctor: %d\n%s%s", got.status, got.stdout, got.stderr)
		}
		if got := run(capabilities, "record", "-a", "-d", "5s", "-format", "folded", "-o", "-"); got.status != 0 ||
			!strings.Contains(got.stdout, "main.spinForTheTest") || !strings.Contains(got.stdout, "_[k]") {
			t.Errorf("record: %d\n%s%.2000s", got.status, got.stderr, got.stdout)
		}
	}
	t.Run("docker-compose.yml", func(t *testing.T) { profiles(t, capabilitiesOf(t, "docker-compose.yml")) })
	t.Run("capabilities.yml", func(t *testing.T) {
		narrow := capabilitiesOf(t, "support/docker/capabilities.yml")
		got := run(narrow, "version")
		if got.status == 0 {
			profiles(t, narrow)
			return
		}
		// An engine that is too old for the file says so, and starts nothing.
		if !regexp.MustCompile(`(?i)unknown capability: "CAP_(BPF|PERFMON|CHECKPOINT_RESTORE)"`).MatchString(got.stderr) {
			t.Errorf("the engine says %d: %s", got.status, got.stderr)
		}
	})
	t.Run("without those to load", func(t *testing.T) {
		few := []string{"--cap-add", "SYS_PTRACE", "--cap-add", "SYSLOG", "--cap-add", "DAC_READ_SEARCH"}
		got := run(few, "record", "-a", "-d", "1s", "-o", "-")
		if want := "agent: not allowed to load eBPF programs: missing CAP_BPF and CAP_PERFMON: "; got.status != 1 || !strings.HasPrefix(got.stderr, want) {
			t.Errorf("record: %d\n%s", got.status, got.stderr)
		}
		if got := run(few, "doctor"); got.status != 1 || !strings.HasPrefix(got.stdout, "cannot profile, for want of: eBPF programs, sampling events\n") {
			t.Errorf("doctor: %d\n%s%s", got.status, got.stdout, got.stderr)
		}
	})
}
