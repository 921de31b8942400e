// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// ranged are the commands that look at a range of time, which of the recording is long ago.
var ranged = map[string]bool{"top": true, "diff": true, "labels": true, "callers": true, "export": true, "timeline": true, "executables": true}

// TestTasks runs the commands of docs/tasks.md on the recording.
func TestTasks(t *testing.T) {
	t.Parallel()
	times, s := startRecorded(t)
	text, err := os.ReadFile("../../docs/tasks.md")
	if err != nil {
		t.Fatal(err)
	}
	// What is to be read in the answers of a task, in order.
	answers := map[int][]string{
		1: {`forge::anvil::iron_leaf +rs_forge\n`}, 2: {`\+[\d.]+ +0\.0% .* read_zero `}, 3: {`wk-oak\n`},
		4: {`(?s)Called by\n.*PyNumber_And\n[^\n]*_PyEval_EvalFrameDefault\n`}, 5: {``}, 6: {`: \+0\.0%\n`}, 7: {`shop-1\n`},
		8: {`gateway`, `oak_leaf`}, 9: {`(?m)^ +self .*\n.* python3\.11 `}, 10: {`samples`, `unknown +\S*shop-1`},
	}
	from, to := strconv.FormatInt(times.From, 10), strconv.FormatInt(times.To, 10)
	files := t.TempDir() // task 6 compares with the file of task 5
	tasks := regexp.MustCompile(`(?s)\n## (\d+)\. ([^\n]*)\n(.*?)\n`+"```\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(tasks) != len(answers) {
		t.Fatalf("%d tasks with commands instead of %d", len(tasks), len(answers))
	}
	for _, task := range tasks {
		number, err := strconv.Atoi(task[1])
		if err != nil {
			t.Fatal(err)
		}
		commands := strings.Split(strings.TrimSpace(task[4]), "\n")
		if len(commands) != len(answers[number]) {
			t.Errorf("%s: %d commands instead of %d", task[2], len(commands), len(answers[number]))
			continue
		}
		for i, command := range commands {
			args := words(command)
			if args[0] != "strobectl" {
				t.Errorf("%s: %s is no command of strobectl", task[2], command)
				continue
			}
			args = args[1:]
			if ranged[args[0]] {
				for i := range args { // a time that was written is one of the recording, too
					if args[i] == "-from" || args[i] == "-to" {
						args = args[:i]
						break
					}
				}
				args = append(args, "-from", from, "-to", to)
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "strobectl"), args...) //nolint:gosec // of our docs
			cmd.Dir = files
			cmd.Env = append(os.Environ(), "STROBE_URL="+s.http, "NO_COLOR=1", "COLUMNS=200", "LC_ALL=C.UTF-8")
			var out, problems bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &problems
			if err := cmd.Run(); err != nil {
				t.Errorf("%s: %s: %v\n%s%s", task[2], command, err, out.String(), problems.String())
				continue
			}
			if !regexp.MustCompile(answers[number][i]).MatchString(firstRows(out.String())) {
				t.Errorf("%s: %s does not answer with %s:\n%s", task[2], command, answers[number][i], out.String())
			}
		}
	}
	if profile, err := os.ReadFile(filepath.Join(files, "gateway.pb.gz")); err != nil || len(profile) < 1000 { //nolint:gosec // just written
		t.Errorf("export wrote %d bytes: %v", len(profile), err)
	}
}

// firstRows returns what a reader sees without scrolling: answers come first.
func firstRows(out string) string {
	const rows = 9
	lines := strings.SplitAfter(out, "\n")
	return strings.Join(lines[:min(len(lines), rows)], "")
}

// words splits a command as a shell does, with single quotes alone.
func words(command string) []string {
	var out []string
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}
