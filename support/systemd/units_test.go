// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// units are the services, with the exposure that "systemd-analyze security"
// of systemd 252 finds: docs/agent.md states it.
var units = []struct {
	file, binary string
	exposure     float64
}{
	{"strobe-agent.service", "strobe-agent", agentExposure},
	{"strobe-collectionagent.service", "strobe-collectionagent", collectionAgentExposure},
}

const (
	agentExposure           = 3.0
	collectionAgentExposure = 1.1
)

// installed is where the units expect the binaries.
const installed = "/usr/bin/"

// setting is a line of a unit.
type setting struct{ section, name, value string }

// read parses a unit.
func read(t *testing.T, path string) (settings []setting) {
	t.Helper()
	b, err := os.ReadFile(path) //nolint:gosec // ours
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case !ok || section == "":
			t.Fatalf("%s: %q is no setting", path, line)
		default:
			settings = append(settings, setting{section, name, value})
		}
	}
	return settings
}

// build builds both binaries and returns where they are.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"agent", "collectionagent"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "strobe-"+name), "./"+name)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	return dir
}

// TestUnits lets the binaries check the command lines and variables of their units.
func TestUnits(t *testing.T) {
	t.Parallel()
	bin := build(t)
	for _, u := range units {
		t.Run(u.file, func(t *testing.T) {
			t.Parallel()
			settings := read(t, u.file)
			dropIns, _ := filepath.Glob(u.file + ".d/*.conf") // the pattern is right
			for _, dropIn := range dropIns {
				settings = append(settings, read(t, dropIn)...)
			}
			credentials := t.TempDir()
			// What a package puts there is checked by the tests of support/release.
			conf := filepath.Join(t.TempDir(), "empty.conf")
			if err := os.WriteFile(conf, []byte("# nothing\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			specifiers := strings.NewReplacer("%d", credentials, "%S", "/var/lib",
				"/etc/strobe/"+strings.TrimPrefix(u.binary, "strobe-")+".conf", conf)
			var args []string
			env := []string{"PATH=" + os.Getenv("PATH")}
			has := map[string]bool{}
			for _, s := range settings {
				has[s.name] = true
				value := specifiers.Replace(s.value)
				switch s.name {
				case "ExecStart":
					args = strings.Fields(value)
				case "Environment":
					env = append(env, value)
				case "LoadCredential":
					name, _, _ := strings.Cut(value, ":")
					if err := os.WriteFile(filepath.Join(credentials, name), []byte("secret\n"), 0o400); err != nil {
						t.Fatal(err)
					}
				}
			}
			if len(args) == 0 || args[0] != installed+u.binary {
				t.Fatalf("starts %q", args)
			}
			for _, name := range []string{"NoNewPrivileges", "ProtectSystem", "StateDirectory", "WatchdogSec", "UMask", "SystemCallFilter", "DynamicUser"} {
				if !has[name] {
					t.Errorf("no %s", name)
				}
			}
			cmd := exec.Command(filepath.Join(bin, u.binary), append(args[1:], "-check-config")...) //nolint:gosec // ours
			cmd.Env = env
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), "secret") {
				t.Errorf("%q: %v\n%s", cmd.Args, err, out)
			}
			// Commands are to be copied from help and errors.
			cmd = exec.Command(filepath.Join(bin, u.binary), "-no-such-flag")               //nolint:gosec // ours
			wrong, _ := cmd.CombinedOutput()                                                // has a status
			help, _ := exec.Command(filepath.Join(bin, u.binary), "-help").CombinedOutput() //nolint:gosec // ours
			own := regexp.MustCompile(`(?m)(^ *|Usage: |")` + u.binary[len("strobe-"):] + `( \w+|:| \[)`)
			for _, text := range [][]byte{wrong, help} {
				if m := own.Find(text); m != nil || !strings.Contains(string(text), u.binary) {
					t.Errorf("%q: does not call itself %s:\n%s", m, u.binary, text)
				}
			}
			// A variable that is misspelled is a warning only where the agent reads it.
			for _, e := range env[1:] {
				name, _, _ := strings.Cut(e, "=")
				if !strings.HasPrefix(name, "STROBE_") {
					continue // of the runtime
				}
				flag := strings.ToLower(strings.ReplaceAll(name[strings.Index(name, "AGENT_")+len("AGENT_"):], "_", "-"))
				usage, _ := exec.Command(filepath.Join(bin, u.binary), "-help").CombinedOutput() //nolint:gosec // ours
				if !regexp.MustCompile(`(?m)^\s+-` + flag + `\b`).Match(usage) {
					t.Errorf("%s stands for no flag", name)
				}
			}
		})
	}
}

// TestAnalyze asks systemd what it thinks of the units.
func TestAnalyze(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		skip.Because(t, "needs systemd-analyze of systemd")
	}
	bin := build(t)
	doc, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		t.Run(u.file, func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(u.file)
			if err != nil {
				t.Fatal(err)
			}
			// Where the binaries are, so that they are found.
			path := filepath.Join(t.TempDir(), u.file)
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), installed, bin+"/")), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput() //nolint:gosec // ours
			if err != nil || strings.Contains(string(out), u.file) {
				t.Errorf("verify: %v\n%s", err, out)
			}
			out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", path).CombinedOutput() //nolint:gosec // ours
			found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
			if found == nil {
				t.Fatalf("security: %v\n%s", err, out)
			}
			exposure, err := strconv.ParseFloat(string(found[1]), 64)
			if err != nil || exposure > u.exposure+0.5 { // versions differ a little
				t.Errorf("exposure %v, at most %v: %v\n%s", exposure, u.exposure, err, out)
			}
			if text := fmt.Sprintf("`%s` %.1f", u.file, u.exposure); !strings.Contains(string(doc), text) {
				t.Errorf("docs/agent.md does not say %q", text)
			}
		})
	}
}
