// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/internal/settings"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/golden"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// want returns the defaults with changes.
func want(change func(*Config)) Config {
	c := Default()
	change(&c)
	return c
}

func TestLoad(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args, environ []string
		file          string
		want          Config
	}{
		"defaults": {want: Default()},
		"one dash and two": {
			args: []string{"-samples-per-second", "50", "--reporter-interval=2s", "-v", "--disable-tls"},
			want: want(func(c *Config) {
				c.SamplesPerSecond, c.ReporterInterval, c.Verbose, c.DisableTLS = 50, 2*time.Second, true, true
			}),
		},
		"plain seconds": {
			args: []string{"-reporter-interval", "10"},
			want: want(func(c *Config) { c.ReporterInterval = 10 * time.Second }),
		},
		"lists": {
			args: []string{"-include-pid", "1,2", "-include-pid", "3", "-exclude-executable", "*/bash, sshd", "-tags", "env=prod,rack=a1"},
			want: want(func(c *Config) {
				c.IncludePIDs = []libpf.PID{1, 2, 3}
				c.ExcludeExecutables = []string{"*/bash", "sshd"}
				c.Tags = []libpf.Label{{Key: "env", Value: "prod"}, {Key: "rack", Value: "a1"}}
			}),
		},
		"environment": {
			environ: []string{"STROBE_AGENT_SAMPLES_PER_SECOND=30", "STROBE_AGENT_ENV_VARS=A,B", "STROBE_AGENT_VERBOSE=1", "HOME=/"},
			want:    want(func(c *Config) { c.SamplesPerSecond, c.EnvVars, c.Verbose = 30, []string{"A", "B"}, true }),
		},
		"file": {
			file: "# comment\nsamples-per-second: 40\nunwind-table-bytes: 32MiB\ninclude-cgroup:\n  - /a/**\n  - '/b,c'\nenv-vars: A, B\ntags: {env: prod}\nverbose: yes\n",
			want: want(func(c *Config) {
				c.SamplesPerSecond, c.UnwindTableBytes = 40, 32<<20
				c.IncludeCgroups = []string{"/a/**", "/b,c"}
				c.EnvVars = []string{"A", "B"}
				c.Tags = []libpf.Label{{Key: "env", Value: "prod"}}
				c.Verbose = true
			}),
		},
		"precedence": {
			args:    []string{"-samples-per-second", "10", "-include-pid", "1"},
			environ: []string{"STROBE_AGENT_SAMPLES_PER_SECOND=20", "STROBE_AGENT_HOST_NAME=env", "STROBE_AGENT_INCLUDE_PID=2"},
			file:    "samples-per-second: 30\nhost-name: file\ninclude-pid: [3, 4]\nhost-id: file\n",
			want: want(func(c *Config) {
				c.SamplesPerSecond, c.HostName, c.HostID, c.IncludePIDs = 10, "env", "file", []libpf.PID{1}
			}),
		},
		"alias beats environment": {
			args:    []string{"-v=false"},
			environ: []string{"STROBE_AGENT_VERBOSE=true"},
			want:    Default(),
		},
		"empty file": {file: "\n", want: Default()},
		"null file":  {file: "---\n", want: Default()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := test.args
			if test.file != "" {
				args = append([]string{"-config", writeFile(t, test.file)}, args...)
			}
			got, err := Load(args, test.environ)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Config); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args, environ []string
		file          string
		want          []string
	}{
		"unknown flag":    {args: []string{"-sample-per-second", "1"}, want: []string{"unknown flag -sample-per-second", "did you mean samples-per-second?"}},
		"far from any":    {args: []string{"-xyzzy"}, want: []string{"unknown flag -xyzzy"}},
		"argument":        {args: []string{"recrod"}, want: []string{`unexpected argument "recrod"`, "record"}}, //nolint:misspell // on purpose
		"bad number":      {args: []string{"-samples-per-second", "many"}, want: []string{"samples-per-second", `"many" is not a whole number`}},
		"bad bool":        {args: []string{"-v=maybe"}, want: []string{"neither true nor false"}},
		"bad bytes":       {args: []string{"-memory-limit", "1XB"}, want: []string{"not a number of bytes"}},
		"bad pid":         {args: []string{"-include-pid", "0"}, want: []string{"not the ID of a process"}},
		"bad tag":         {args: []string{"-tags", "prod"}, want: []string{"KEY=VALUE"}},
		"bad variable":    {environ: []string{"STROBE_AGENT_REPORTER_INTERVAL=soon"}, want: []string{"STROBE_AGENT_REPORTER_INTERVAL", `"soon" is not a duration`}},
		"no file":         {args: []string{"-config", "/nowhere/x.yaml"}, want: []string{"/nowhere/x.yaml"}},
		"file by env":     {environ: []string{"STROBE_AGENT_CONFIG=/nowhere/y.yaml"}, want: []string{"/nowhere/y.yaml"}},
		"unknown key":     {file: "a: 1\nsamples-per-secnd: 20\n", want: []string{":1: unknown setting", ":2: unknown setting \"samples-per-secnd\"; did you mean samples-per-second?"}},
		"set twice":       {file: "verbose: true\nverbose: false\n", want: []string{":2: verbose: set twice"}},
		"not a map":       {file: "- a\n", want: []string{":1: want lines"}},
		"broken YAML":     {file: "a: [\n", want: []string{"yaml"}},
		"two documents":   {file: "verbose: true\n---\nverbose: true\n", want: []string{"more than one YAML document"}},
		"no value":        {file: "host-name:\n", want: []string{":1: host-name: has no value"}},
		"list of one":     {file: "host-name: [a]\n", want: []string{"want a single value"}},
		"nested list":     {file: "env-vars: [[a]]\n", want: []string{"not a single value"}},
		"map for list":    {file: "env-vars: {a: b}\n", want: []string{"want a value or a list"}},
		"range and more":  {args: []string{"-samples-per-second", "0", "-collection-agent", "nowhere", "-reporter-jitter", "2", "-log-format", "xml", "-include-cgroup", "[", "-reporter-interval", "1ms"}, want: []string{"-samples-per-second: is 0, must be 1 to 1000", `-collection-agent: "nowhere" is not host:port`, "-reporter-jitter: is 2, must be 0 to 1", "-log-format", "-include-cgroup", "-reporter-interval: is 1ms, must be 100ms to 1h"}},
		"memory":          {args: []string{"-memory-limit", "100MiB"}, want: []string{"-memory-limit: is 100MiB, must be at least -unwind-table-bytes plus 64MiB, which is 128MiB"}},
		"tables":          {args: []string{"-unwind-table-bytes", "10"}, want: []string{"-unwind-table-bytes: is 10, must be 1MiB to 1GiB"}},
		"spool":           {args: []string{"-spool-dir", "spool", "-spool-bytes", "1KiB"}, want: []string{`-spool-dir: is "spool", must be an absolute path or "off"`, "-spool-bytes: is 1KiB, must be 1MiB to 1TiB"}},
		"spool of none":   {args: []string{"-spool-dir", ""}, want: []string{"-spool-dir"}},
		"token on line":   {args: []string{"-token", "x"}, want: []string{"unknown flag -token"}},
		"tls halves":      {args: []string{"-tls-cert", "x"}, want: []string{"-tls-cert: needs -tls-key"}},
		"server name":     {args: []string{"-tls-server-name", "a.example:11000"}, want: []string{`-tls-server-name: "a.example:11000" is not a host name`}},
		"tls and not":     {args: []string{"-tls-ca", "x", "-disable-tls"}, want: []string{"-disable-tls: contradicts"}},
		"port":            {args: []string{"-http-address", "localhost:99999"}, want: []string{"-http-address", `or "off"`}},
		"host ID":         {args: []string{"-host-id", "a b"}, want: []string{"-host-id"}},
		"socket":          {args: []string{"-container-sockets", "docker.sock"}, want: []string{"-container-sockets", "absolute path"}},
		"sockets and off": {args: []string{"-container-sockets", "off,/run/docker.sock"}, want: []string{"-container-sockets"}},
		"kubelet":         {args: []string{"-kubelet", "10.0.0.1:10250"}, want: []string{"-kubelet", "https://"}},
		"kubelet trusted": {args: []string{"-kubelet-skip-verify", "-kubelet-ca", "ca.pem"}, want: []string{"-kubelet-skip-verify", "-kubelet-ca"}},
		"label key":       {args: []string{"-pod-labels", "a b", "-container-labels", "x=y"}, want: []string{"-pod-labels", "-container-labels"}},
		"variable name":   {args: []string{"-env-vars", "A=B"}, want: []string{"-env-vars"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := test.args
			if test.file != "" {
				args = append([]string{"-config", writeFile(t, test.file)}, args...)
			}
			_, err := Load(args, test.environ)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range test.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestLoadHelpAndWarnings(t *testing.T) {
	t.Parallel()
	if _, err := Load([]string{"-h"}, nil); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
	l, err := Load(nil, []string{"STROBE_AGENT_HOSTNAME=x", "STROBE_AGENT_SERVICE_HOST=10.0.0.1", "STROBE_AGENT_PORT_80_TCP=x"})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], "did you mean STROBE_AGENT_HOST_NAME?") {
		t.Errorf("warnings %q", l.Warnings)
	}
}

func TestWriteFileIsReadBack(t *testing.T) {
	t.Parallel()
	c := want(func(c *Config) {
		c.Tags = []libpf.Label{{Key: "env", Value: "prod: eu"}}
		c.IncludeExecutables = []string{"*", "null", "&x", "1"}
		c.HostName, c.HostID = "~", "12"
		c.IncludePIDs = []libpf.PID{7}
	})
	var b strings.Builder
	if err := c.WriteFile(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Load([]string{"-config", writeFile(t, b.String())}, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	if diff := cmp.Diff(c, got.Config); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	var usage, file strings.Builder
	if err := WriteUsage(&usage); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/usage.txt", usage.String())
	c := Default()
	if err := c.WriteFile(&file); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/default.yaml", file.String())
}

func TestPlaintext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		address, ca string
		disable     bool
		want        bool
	}{
		{"127.0.0.1:11000", "", false, true},
		{"localhost:11000", "", false, true},
		{"[::1]:11000", "", false, true},
		{"127.0.0.1:11000", "ca.pem", false, false},
		{"profiles.example:11000", "", false, false},
		{"profiles.example:11000", "", true, true},
		{"10.0.0.1:11000", "", false, false},
	}
	for _, test := range tests {
		c := Config{CollectionAgent: test.address, TLSCA: test.ca, DisableTLS: test.disable}
		if got := c.Plaintext(); got != test.want {
			t.Errorf("%+v: plaintext %v, want %v", test, got, test.want)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	c := Config{CollectionAgent: "profiles.example:11000"}
	if got, err := c.TLS(); err != nil || got == nil || got.RootCAs != nil {
		t.Errorf("without files: %+v, %v", got, err)
	}
	c.TLSServerName = "a.example"
	if got, err := c.TLS(); err != nil || got == nil || got.ServerName != "a.example" {
		t.Errorf("with a server name: %+v, %v", got, err)
	}
	if local := (Config{CollectionAgent: "127.0.0.1:1", TLSServerName: "a.example"}); local.Plaintext() {
		t.Error("a server name does not turn TLS on")
	}
	c.TLSCA = writeFile(t, "not PEM")
	if _, err := c.TLS(); err == nil || !strings.Contains(err.Error(), "-tls-ca") {
		t.Errorf("with a broken file: %v", err)
	}
	c.TLSCA, c.TLSCert, c.TLSKey = "", "/nowhere/c", "/nowhere/k"
	if _, err := c.TLS(); err == nil || !strings.Contains(err.Error(), "-tls-cert") {
		t.Errorf("without a certificate: %v", err)
	}
}

// TestSharedNames holds the names that the Collector reads to those of the flags.
func TestSharedNames(t *testing.T) {
	t.Parallel()
	c := Default()
	options := c.options()
	shared := reflect.TypeFor[settings.Profiling]()
	for field := range shared.Fields() {
		name := field.Tag.Get("mapstructure")
		if options[strings.ReplaceAll(name, "_", "-")] == nil {
			t.Errorf("field %s is %q for the Collector, and there is no such flag", field.Name, name)
		}
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add("samples-per-second: 40\ninclude-cgroup: [a, b]\ntags: {a: b}\n")
	f.Add("a: &x [1]\nenv-vars: *x\n")
	f.Add("- x\n---\n")
	path := filepath.Join(f.TempDir(), "fuzz.yaml")
	f.Fuzz(func(t *testing.T, content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c := Default()
		if err := readFile(path, c.options(), map[string]bool{}); err == nil {
			_ = c.Validate()
		}
	})
}
