// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/skip"
)

// TestUnsupportedRuntimeIsReported profiles a program on an interpreter that is
// recognised and cannot be unwound: the log, the stacks and the doctor say so.
func TestUnsupportedRuntimeIsReported(t *testing.T) {
	skip.UnlessRoot(t)
	lua, err := exec.LookPath("lua5.4")
	if err != nil {
		skip.Because(t, "needs lua5.4")
	}
	cmd := exec.CommandContext(t.Context(), lua, "-e", `print("started") io.stdout:flush() while true do for i = 1, 1e6 do end end`) //nolint:gosec // found above
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	folded := filepath.Join(t.TempDir(), "folded")
	messages := recordCPU(t, cmd.Process.Pid, 99, 2*time.Second, folded)
	if !strings.Contains(messages, "runtime cannot be unwound") || !strings.Contains(messages, "runtime=lua") {
		t.Errorf("the log does not say it:\n%s", messages)
	}
	b, err := os.ReadFile(folded) //nolint:gosec // our own
	if err != nil {
		t.Fatal(err)
	}
	lines := string(b)
	if part, total := share(t, lines, "[lua: "); part < 0.9 {
		t.Errorf("%.0f %% of %d stacks say that frames are missing:\n%.2000s", part*100, total, lines)
	}
	doctor, _ := runAgent(t, "doctor")
	if !strings.Contains(doctor, "lua 5.4") || !strings.Contains(doctor, "functions are missing from profiles") {
		t.Errorf("the doctor does not say it:\n%s", doctor)
	}
}
