// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/golden"
)

// script runs commands, one a line, on one file of tokens and returns all that
// they print. ID and TOKEN stand for the last ones that were printed.
func script(t *testing.T, dir, commands string) string {
	t.Helper()
	var all strings.Builder
	lastID, lastToken := "", ""
	for line := range strings.Lines(commands) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		args := strings.Fields(strings.NewReplacer("ID", lastID, "DIR", dir).Replace(line))
		for i := range args {
			args[i] = strings.ReplaceAll(strings.Trim(args[i], "'"), "~", " ")
		}
		var stdout, stderr bytes.Buffer
		status := run(args, []string{envPrefix + "DATA_DIR=" + dir}, &stdout, &stderr)
		_, _ = fmt.Fprintf(&all, "$ collectionagent %s\n%s", line, stdout.String())
		for text := range strings.Lines(stderr.String()) {
			all.WriteString("! " + text)
		}
		if status != exitOK {
			_, _ = fmt.Fprintf(&all, "exit status %d\n", status)
		}
		all.WriteString("\n")
		if m := tokenText.FindStringSubmatch(stdout.String()); m != nil {
			lastID, lastToken = m[1], m[0]
			if strings.TrimSpace(stdout.String()) != lastToken {
				t.Errorf("%s prints more than a token on standard output: %q", line, stdout.String())
			}
			if strings.Contains(stderr.String(), lastToken) {
				t.Errorf("%s prints the token on standard error", line)
			}
		}
	}
	return all.String()
}

var (
	tokenText = regexp.MustCompile(`strobe_([a-z0-9]{12})_[A-Za-z0-9]{43}`)
	idText    = regexp.MustCompile(`\b[a-z0-9]{12}\b`)
	timeText  = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d`)
	jsonTime  = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
)

// TestCommands compares what commands print with golden files.
func TestCommands(t *testing.T) {
	t.Parallel()
	for name, commands := range map[string]string{
		"tokens": `
			token list
			token create -project shop -role ingest
			project create shop
			token create -project shop -role ingest -name web~1
			token rotate ID
			token rotate -grace 0 ID
			token create -project shop -role query,admin -expires 90d
			token create -project '*' -role admin
			token list
			token list -project shop
			token list -project none -o json
			token revoke ID
			token revoke ID
			token rotate ID
			project list
			project list -o json`,
		"misuse": `
			token
			token make
			token create
			token create -project shop
			token create -project default -role root
			token create -project default -role ingest -expires soon
			token create -project '*' -role ingest
			token create -project Shop -role ingest
			token create -project default -role ingest extra
			token list -o yaml
			token revoke
			token rotate ID1 -grace -1h
			token revoke a b
			project create ../x
			project create default
			project remove default
			project remove none`,
		"projects": `
			project create a
			project create a
			token create -data-dir DIR -project a -role query
			project remove a
			token revoke ID
			project remove a
			project list`,
		"help": `
			token -help
			project help
			token create -help
			token rotate -h`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			got := script(t, dir, commands)
			got = tokenText.ReplaceAllString(got, "strobe_ID_SECRET")
			got = timeText.ReplaceAllString(jsonTime.ReplaceAllString(got, "TIME"), "DATE        TIME")
			got = strings.ReplaceAll(idText.ReplaceAllString(got, "ID__________"), dir, "DIR")
			golden.Equal(t, filepath.Join("testdata", "command-"+name+".txt"), got)
		})
	}
}

// TestCommandsFindTheFile checks that commands change the file that a server with
// the same flags, environment and file of settings reads.
func TestCommandsFindTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte("auth-file: "+filepath.Join(dir, "from-config.json")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want          string
		args, environ []string
	}{
		{"from-flag.json", []string{"-auth-file", filepath.Join(dir, "from-flag.json")}, []string{envPrefix + "AUTH_FILE=/none/auth.json"}},
		{"data/auth.json", nil, []string{envPrefix + "DATA_DIR=" + filepath.Join(dir, "data")}},
		{"from-config.json", []string{"-config", config}, nil},
		{"from-config.json", nil, []string{envPrefix + "CONFIG=" + config}},
	} {
		path := filepath.Join(dir, tt.want)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		args := append([]string{"project", "create", "shop"}, tt.args...)
		if status := run(args, tt.environ, io.Discard, &stderr); status != exitOK {
			t.Errorf("%v %v: exit status %d: %s", tt.args, tt.environ, status, &stderr)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%v %v: %v", tt.args, tt.environ, err)
		}
	}
}
