// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCommandLine(t *testing.T) {
	t.Parallel()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		if err := errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad := write("bad.yaml", "samples: 5\n", 0o600)
	off := write("off.yaml", "http-address: off\n", 0o600)
	other := write("other.yaml", "http-address: 127.0.0.1:2\n", 0o600)
	open := write("token", "x\n", 0o644)
	tests := map[string]struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		"help":             {[]string{"-help"}, exitOK, "-samples-per-second N", ""},
		"help command":     {[]string{"help"}, exitOK, "agent doctor", ""},
		"two dashes":       {[]string{"--help"}, exitOK, "-collection-agent HOST:PORT", ""},
		"version":          {[]string{"version"}, exitOK, "agent ", ""},
		"version flag":     {[]string{"--version"}, exitOK, "linux/", ""},
		"check":            {[]string{"-check-config", "-samples-per-second", "50"}, exitOK, "the configuration is valid", ""},
		"check fails":      {[]string{"-check-config", "-samples-per-second", "0"}, exitUsage, "", "must be 1 to 1000"},
		"print":            {[]string{"-print-config", "-samples-per-second", "50"}, exitOK, "samples-per-second: 50", ""},
		"unknown flag":     {[]string{"-collector", "x"}, exitUsage, "", "unknown flag -collector"},
		"unknown command":  {[]string{"rekord"}, exitUsage, "", `unexpected argument "rekord"`},
		"unknown setting":  {[]string{"-config", bad}, exitUsage, "", `bad.yaml:1: unknown setting "samples"`},
		"no TLS file":      {[]string{"-check-config", "-collection-agent", "h:1", "-tls-ca", "/nowhere/ca"}, exitUsage, "", "-tls-ca: "},
		"record help":      {[]string{"record", "-h"}, exitOK, "agent record -p PID", ""},
		"record what":      {[]string{"record"}, exitUsage, "", "say what to profile"},
		"record hint":      {[]string{"record", "-x"}, exitUsage, "", `"agent record -help"`},
		"record nobody":    {[]string{"record", "-p", "2147483646", "-o", filepath.Join(t.TempDir(), "x")}, exitError, "", "there is no process 2147483646"},
		"doctor help":      {[]string{"doctor", "-h"}, exitOK, "agent doctor [-o text|json]", ""},
		"doctor format":    {[]string{"doctor", "-o", "xml"}, exitUsage, "", "must be text or json"},
		"doctor argument":  {[]string{"doctor", "who"}, exitUsage, "", `unexpected argument "who"`},
		"no token file":    {[]string{"-check-config", "-token-file", "/nowhere/token"}, exitUsage, "", "-token-file: open /nowhere/token"},
		"open token file":  {[]string{"-check-config", "-token-file", open}, exitUsage, "", "chmod 0600"},
		"exporter":         {[]string{"-check-config", "-exporter", "otlp", "-otlp-endpoint", "https://otlp.example"}, exitOK, "the configuration is valid", ""},
		"no exporter":      {[]string{"-check-config", "-exporter", "jaeger"}, exitUsage, "", "must be strobe or otlp"},
		"no headers file":  {[]string{"-check-config", "-exporter", "otlp", "-otlp-headers-file", "/nowhere/h"}, exitUsage, "", "-otlp-headers-file: open /nowhere/h"},
		"header on line":   {[]string{"-otlp-headers", "a=b"}, exitUsage, "", "unknown flag -otlp-headers"},
		"status help":      {[]string{"status", "-help"}, exitOK, "agent status [-address HOST:PORT]", ""},
		"status format":    {[]string{"status", "-o", "xml"}, exitUsage, "", "must be text or json"},
		"status argument":  {[]string{"status", "me"}, exitUsage, "", `unexpected argument "me"`},
		"status flag":      {[]string{"status", "-adress", "x"}, exitUsage, "", "did you mean address?"}, //nolint:misspell // on purpose
		"status address":   {[]string{"status", "-address", "here"}, exitUsage, "", `-address: "here" is not host:port`},
		"status of none":   {[]string{"status", "-address", "127.0.0.1:1"}, exitError, "", "nothing listens at 127.0.0.1:1: no agent runs here"},
		"status config":    {[]string{"status", "-config", bad}, exitUsage, "", "unknown setting"},
		"status off":       {[]string{"status", "-config", off}, exitError, "", "http-address of the agent is off"},
		"status by config": {[]string{"status", "-config", other}, exitError, "", "nothing listens at 127.0.0.1:2"},
		"doctor bad flags": {[]string{"doctor", "-p"}, exitUsage, "", "unknown flag -p"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			status := run(t.Context(), test.args, &stdout, &stderr)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if !strings.Contains(stdout.String(), test.stdout) || test.stdout == "" && stdout.Len() > 0 {
				t.Errorf("standard output %q, want %q", stdout.String(), test.stdout)
			}
			if !strings.Contains(stderr.String(), test.stderr) || test.stderr == "" && stderr.Len() > 0 {
				t.Errorf("standard error %q, want %q", stderr.String(), test.stderr)
			}
		})
	}
}

// TestDoctor runs on any host: what it finds differs, the form does not.
func TestDoctor(t *testing.T) {
	t.Parallel()
	var text, encoded, stderr bytes.Buffer
	status := run(t.Context(), []string{"doctor"}, &text, &stderr)
	if verdict, _, _ := strings.Cut(text.String(), "\n"); (status == exitOK) != strings.HasPrefix(verdict, "can profile") {
		t.Errorf("status %d, verdict %q", status, verdict)
	}
	if again := run(t.Context(), []string{"doctor", "-o", "json"}, &encoded, &stderr); again != status {
		t.Errorf("status %d, then %d", status, again)
	}
	var report struct {
		CanProfile   bool `json:"can_profile"`
		Capabilities []struct{ Name string }
	}
	if err := json.Unmarshal(encoded.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.CanProfile != (status == exitOK) || len(report.Capabilities) < 5 {
		t.Errorf("%+v", report)
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error %q", stderr.String())
	}
}
