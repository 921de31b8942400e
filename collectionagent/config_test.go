// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeFile writes a file of the test and returns its path.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPrecedence sets one setting everywhere, and takes the sources away one by one.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "c.yaml", "data-dir: from-file\nmax-concurrent: 3\n")
	env := []string{envPrefix + "DATA_DIR=from-env", "HOME=/root", envPrefix + "LOG_LEVEL=debug"}
	f := func(want string, args, environ []string) {
		t.Helper()
		c, _, err := load(args, environ, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if c.DataDir != want {
			t.Errorf("%v %v: data-dir %q, want %q", args, environ, c.DataDir, want)
		}
	}
	f("from-flag", []string{"-config", file, "-data-dir", "from-flag"}, env)
	f("from-flag", []string{"--config=" + file, "--data-dir=from-flag"}, env)
	f("from-env", []string{"-config", file}, env)
	f("from-env", nil, append(env, envPrefix+"CONFIG="+file))
	f("from-file", []string{"-config", file}, nil)
	f("from-file", nil, []string{envPrefix + "CONFIG=" + file})
	f("./strobe-data", nil, nil)
	c, _, err := load([]string{"-config", file}, env, io.Discard)
	if err != nil || c.MaxConcurrent != 3 || c.LogLevel.String() != "DEBUG" {
		t.Errorf("file and environment do not add up: %+v, %v", c, err)
	}
}

// TestServiceLinks has the variables that Kubernetes gives to all pods beside a service
// with the name of the program.
func TestServiceLinks(t *testing.T) {
	t.Parallel()
	_, _, err := load(nil, []string{
		envPrefix + "SERVICE_HOST=10.0.0.1", envPrefix + "SERVICE_PORT_GRPC=11000", envPrefix + "PORT=tcp://10.0.0.1:11000",
		envPrefix + "PORT_11000_TCP_ADDR=10.0.0.1",
	}, io.Discard)
	if err != nil {
		t.Error(err)
	}
}

// TestLoadErrors checks that every problem is reported, and where it is.
func TestLoadErrors(t *testing.T) {
	t.Parallel()
	f := func(args, environ []string, want ...string) {
		t.Helper()
		_, _, err := load(args, environ, io.Discard)
		if err == nil {
			t.Errorf("%v %v: no error", args, environ)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q does not say %q", err, w)
			}
		}
	}
	file := func(content string) []string { return []string{"-config", writeFile(t, "c.yaml", content)} }
	f([]string{"-no-such-flag"}, nil, "no-such-flag")
	f([]string{"surplus"}, nil, `unexpected argument "surplus"`)
	f([]string{"-head-max-bytes", "many"}, nil, `"many" is not a size`)
	f(nil, []string{envPrefix + "DATADIR=x", envPrefix + "HEAD_MAX_BYTES=y", envPrefix + "VERSION=true"},
		"DATADIR is not a setting", "HEAD_MAX_BYTES", `"y" is not a size`, "VERSION is not a setting")
	f(file("data-dir: x\nunknown: 1\nlog-level: loud\nversion: true\n"), nil,
		`c.yaml:2: unknown key "unknown"`, "c.yaml:3: log-level", `c.yaml:4: unknown key "version"`)
	f(append(file("log-level: loud\n"), "-log-level", "info"), nil, "c.yaml:1: log-level")
	f(file("data-dir: x\ndata-dir: y\n"), nil, "c.yaml:2: data-dir is set twice")
	f(file("data-dir:\n"), nil, "data-dir: want a single value")
	f(file("data-dir: [x]\n"), nil, "data-dir: want a single value")
	f(file("- data-dir\n"), nil, "want lines of the form name: value")
	f(file("a: b\n---\nc: d\n"), nil, "more than one YAML document")
	f(file("a: [\n"), nil, "c.yaml")
	f([]string{"-config", "/does/not/exist"}, nil, "read configuration", "/does/not/exist")
}

func TestEmptyFiles(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "# only a comment\n", "{}\n"} {
		c, _, err := load([]string{"-config", writeFile(t, "c.yaml", content)}, nil, io.Discard)
		if d := Default(); err != nil || *c != d {
			t.Errorf("%q: %+v, %v", content, c, err)
		}
	}
}

// TestPrintConfig reads back what -print-config prints.
func TestPrintConfig(t *testing.T) {
	t.Parallel()
	c := Default()
	c.DataDir, c.HeadMaxBytes, c.Insecure, c.LogFormat = "/a b: c", 300<<20, true, "json"
	var out bytes.Buffer
	if err := printConfig(&out, &c); err != nil {
		t.Fatal(err)
	}
	got, _, err := load([]string{"-config", writeFile(t, "c.yaml", out.String())}, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&c, got); d != "" {
		t.Errorf("settings changed (-printed +read):\n%s", d)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if d := Default(); d.Validate() != nil {
		t.Errorf("default configuration: %v", d.Validate())
	}
	f := func(change func(*Config), want ...string) {
		t.Helper()
		c := Default()
		change(&c)
		err := c.Validate()
		if len(want) == 0 {
			if err != nil {
				t.Errorf("error %v, want none", err)
			}
			return
		}
		if err == nil {
			t.Errorf("no error, want %q", want)
			return
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(want) {
			t.Errorf("%d problems, want %d: %v", len(lines), len(want), err)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q does not say %q", err, w)
			}
		}
	}
	f(func(c *Config) { c.HTTPAddress, c.GRPCAddress = "localhost:1", "[::1]:2" })
	f(func(c *Config) { c.HTTPAddress = "[::ffff:127.0.0.1]:1" })
	f(func(c *Config) { c.HTTPAddress, c.GRPCAddress = "0.0.0.0:7070", "example.com:11000" }) // with its own certificate
	f(func(c *Config) { c.GRPCAddress, c.TLSClientCA = ":11000", "ca" })
	f(func(c *Config) { c.GRPCAddress, c.TLSClientCA, c.Insecure = ":11000", "ca", true }, "-tls-client-ca: needs TLS")
	f(func(c *Config) { c.HTTPAddress, c.TLSClientCA = ":7070", "ca" }, "-tls-client-ca: needs TLS on -grpc-address 127.0.0.1:11000")
	f(func(c *Config) { c.TLSClientAuth = "some" }, "-tls-client-auth: is \"some\"")
	f(func(c *Config) { c.TLSNames = "profiles.example, 10.0.0.1,::2,*.x" })
	f(func(c *Config) { c.TLSNames = "a b/c,-d" }, `-tls-names: "b/c" is not`, `"-d" is not`)
	f(func(c *Config) { c.TLSCert, c.TLSKey, c.TLSNames = "c", "k", "x" }, "-tls-names: is for")
	f(func(c *Config) { c.GRPCAddress, c.Insecure = ":11000", true })
	f(func(c *Config) { c.GRPCAddress, c.TLSCert, c.TLSKey = ":11000", "c", "k" })
	f(func(c *Config) { c.Auth = "off" })
	f(func(c *Config) { c.Auth = "maybe" }, `-auth: is "maybe"`)
	f(func(c *Config) { c.GRPCAddress, c.TLSCert, c.TLSKey, c.Auth = ":11000", "c", "k", "off" }, "-auth: is off, and everybody")
	f(func(c *Config) { c.GRPCAddress, c.Insecure, c.Auth = ":11000", true, "off" })
	f(func(c *Config) { c.Limits.IngestMemory = 1 << 41 }, "-ingest-memory: is 2TiB, must be from 64MiB, four times -max-request-bytes, to 1TiB")
	f(func(c *Config) { c.HeadMaxBytes = 1 << 20 }, "-head-max-bytes: is 1MiB, must be from 4MiB to 64GiB")
	f(func(c *Config) { c.Limits.QueryMemory = 1 }, "-query-memory: is 1, must be from 16MiB to 1TiB")
	f(func(c *Config) { c.Memory = 512 << 20 })
	f(func(c *Config) { c.Memory = 100 << 20 }, "-memory: memory does not suffice: 100 MiB, but")
	f(func(c *Config) { c.Memory, c.HeadMaxBytes = 1<<30, 900<<20 }, "lower -head-max-bytes 900 MiB")
	f(func(c *Config) { c.AllowedHosts = "a.example, b.example" })
	f(func(c *Config) { c.AllowedHosts = "https://a.example" }, "-allowed-hosts: \"https://a.example\"")
	f(func(c *Config) { c.TLSCert = "c" }, "only one is given")
	f(func(c *Config) { c.TLSClientCA = "ca" }, "-tls-client-ca: needs")
	f(func(c *Config) { c.HTTPAddress, c.GRPCAddress = "7070", "127.0.0.1:http" }, "not of the form host:port", "port must be a number")
	f(func(c *Config) {
		*c = Config{HTTPAddress: "127.0.0.1:0", GRPCAddress: "127.0.0.1:0", Limits: defaultLimits()}
	},
		"-data-dir: is empty", "-tls-client-auth", "-auth: is \"\", must be auto", "-store: is \"\", must be", "-max-request-bytes", "-max-concurrent",
		"-shutdown-timeout", "-log-format")
}

func TestBytes(t *testing.T) {
	t.Parallel()
	f := func(text string, want Bytes, printed string) {
		t.Helper()
		var b Bytes
		err := b.UnmarshalText([]byte(text))
		if want < 0 {
			if err == nil {
				t.Errorf("%q: %d, want an error", text, b)
			}
			return
		}
		if err != nil || b != want || b.String() != printed {
			t.Errorf("%q: %d, %q, %v, want %d, %q", text, b, b, err, want, printed)
		}
	}
	f("0", 0, "0")
	f("1000", 1000, "1000")
	f("64MiB", 64<<20, "64MiB")
	f(" 1.5 GiB ", 3<<29, "1536MiB")
	f("2kB", 2000, "2000")
	f("1TB", 1e12, "976562500KiB")
	f("7B", 7, "7")
	f("-1", -1, "")
	f("8589934592GiB", -1, "")
	f("NaN", -1, "")
	f("", -1, "")
	f("MiB", -1, "")
	f("1 MiB x", -1, "")
}
