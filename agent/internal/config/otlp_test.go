// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
	"github.com/strobe-profiler/strobe/reporter"
)

// secretFile writes a file that only its owner may read, unless mode says otherwise.
func secretFile(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOTLP(t *testing.T) {
	t.Parallel()
	// to is what of the result is compared.
	type to struct {
		Address, Protocol, Compression string
		Plain                          bool
		Timeout                        time.Duration
		Headers                        map[string]string
	}
	const grpc, http = reporter.ProtocolGRPC, reporter.ProtocolHTTP
	ca := tlstest.New(t, "ca").File()
	headers := secretFile(t, "# of the backend\n\nX-Scope: shop\nApi-Key:  a:b \n", 0o600)
	tests := map[string]struct {
		args []string
		env  map[string]string
		want to
	}{
		"nothing":                        {want: to{Address: "localhost:4317", Protocol: grpc, Plain: true}},
		"protocol":                       {args: []string{"-otlp-protocol", http}, want: to{Address: "localhost:4318", Protocol: http, Plain: true}},
		"local with TLS":                 {args: []string{"-tls-server-name", "otlp.example"}, want: to{Address: "localhost:4317", Protocol: grpc}},
		"URL":                            {args: []string{"-otlp-endpoint", "https://otlp.example"}, want: to{Address: "https://otlp.example", Protocol: http}},
		"URL of gRPC":                    {args: []string{"-otlp-endpoint", "http://otlp.example:4317"}, want: to{Address: "http://otlp.example:4317", Protocol: grpc, Plain: true}},
		"URL and protocol":               {args: []string{"-otlp-endpoint", "https://otlp.example:443", "-otlp-protocol", grpc}, want: to{Address: "https://otlp.example:443", Protocol: grpc}},
		"host and port":                  {args: []string{"-otlp-endpoint", "otlp.example:11000"}, want: to{Address: "otlp.example:11000", Protocol: grpc}},
		"not encrypted":                  {args: []string{"-otlp-endpoint", "otlp.example:11000", "-disable-tls"}, want: to{Address: "otlp.example:11000", Protocol: grpc, Plain: true}},
		"loopback":                       {args: []string{"-otlp-endpoint", "127.0.0.1:11000"}, want: to{Address: "127.0.0.1:11000", Protocol: grpc, Plain: true}},
		"certificate of the environment": {env: map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": ca}, want: to{Address: "localhost:4317", Protocol: grpc}},
		"not encrypted by the environment": {
			env:  map[string]string{"OTEL_EXPORTER_OTLP_INSECURE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "otlp.example:1"},
			want: to{Address: "otlp.example:1", Protocol: grpc, Plain: true},
		},
		"TLS beats the environment": {
			args: []string{"-tls-ca", ca},
			env:  map[string]string{"OTEL_EXPORTER_OTLP_INSECURE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "otlp.example:1"},
			want: to{Address: "otlp.example:1", Protocol: grpc},
		},
		"URL in capitals":       {args: []string{"-otlp-endpoint", "HTTP://otlp.example"}, want: to{Address: "HTTP://otlp.example", Protocol: http, Plain: true}},
		"headers, time and zip": {args: []string{"-otlp-headers-file", headers, "-otlp-timeout", "3s", "-otlp-compression", "zstd"}, want: to{Address: "localhost:4317", Protocol: grpc, Plain: true, Compression: "zstd", Timeout: 3 * time.Second, Headers: map[string]string{"x-scope": "shop", "api-key": "a:b"}}},
		"environment": {
			env: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": grpc, "OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL": http,
				"OTEL_EXPORTER_OTLP_HEADERS": "x-scope=a%20b", "OTEL_EXPORTER_OTLP_TIMEOUT": "2500", "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
			},
			want: to{Address: "https://otlp.example:4318/v1development/profiles", Protocol: http, Compression: "none", Timeout: 2500 * time.Millisecond, Headers: map[string]string{"x-scope": "a b"}},
		},
		"flags beat the environment": {
			args: []string{"-otlp-endpoint", "otlp.example:1", "-otlp-headers-file", headers, "-otlp-timeout", "3s", "-otlp-compression", "gzip"},
			env: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other.example:4318", "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=other", "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
				"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_INSECURE": "true",
			},
			want: to{Address: "otlp.example:1", Protocol: grpc, Compression: "gzip", Timeout: 3 * time.Second, Headers: map[string]string{"x-scope": "shop", "api-key": "a:b"}},
		},
		"protocol beats the environment": {
			args: []string{"-otlp-protocol", grpc},
			env:  map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otlp.example:4318", "OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL": http},
			want: to{Address: "http://otlp.example:4318", Protocol: grpc, Plain: true},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := Load(append([]string{"-exporter", "otlp"}, test.args...), nil)
			if err != nil {
				t.Fatal(err)
			}
			c, o, err := l.OTLP(func(name string) string { return test.env[name] })
			if err != nil {
				t.Fatal(err)
			}
			got := to{Address: c.CollAgentAddr, Protocol: o.Protocol, Compression: o.Compression, Plain: c.DisableTLS, Timeout: o.Timeout, Headers: o.Headers}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (o.TLS == nil) != c.DisableTLS {
				t.Errorf("TLS %+v", o.TLS)
			}
		})
	}
}

func TestOTLPErrors(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	tests := map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"exporter":         {args: []string{"-exporter", "zipkin"}, want: `-exporter: is "zipkin", must be strobe or otlp`},
		"protocol":         {args: []string{"-otlp-protocol", "http/json"}, want: "-otlp-protocol: is \"http/json\", must be grpc or http/protobuf"},
		"compression":      {args: []string{"-otlp-compression", "br"}, want: "must be gzip or zstd or none"},
		"endpoint":         {args: []string{"-otlp-endpoint", "otlp.example"}, want: `-otlp-endpoint: "otlp.example" is not host:port, or a URL`},
		"other scheme":     {args: []string{"-otlp-endpoint", "htps://otlp.example:4318"}, want: "-otlp-endpoint: is no URL that begins with http:// or https://"},
		"other for gRPC":   {args: []string{"-otlp-endpoint", "ftp://otlp.example:1", "-otlp-protocol", "grpc"}, want: "-otlp-endpoint: is no URL that begins"},
		"broken password":  {args: []string{"-otlp-endpoint", "https://a:%" + secret + "@otlp.example"}, want: "-otlp-endpoint: is no URL"},
		"password":         {args: []string{"-otlp-endpoint", "https://a:" + secret + "@otlp.example"}, want: "the address holds a password"},
		"path for gRPC":    {args: []string{"-otlp-endpoint", "https://otlp.example/p", "-otlp-protocol", "grpc"}, want: "which gRPC cannot use"},
		"header of ours":   {args: []string{"-otlp-headers-file", secretFile(t, "Content-Type: "+secret, 0o600)}, want: "content-type is set by the protocol"},
		"no header's name": {args: []string{"-otlp-headers-file", secretFile(t, "a b: "+secret, 0o600)}, want: "its name is not one of HTTP"},
		"two tokens":       {args: []string{"-token-file", "/f"}, env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "authorization=" + secret}, want: "an authorization header and a token file"},
		"http of the environment": {
			args: []string{"-tls-ca", "x"}, env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1"},
			want: "endpoint of the environment: begins with http://",
		},
		"http with TLS":    {args: []string{"-otlp-endpoint", "http://a:1", "-tls-ca", "x"}, want: "-otlp-endpoint: begins with http://"},
		"https without":    {args: []string{"-otlp-endpoint", "https://a:1", "-disable-tls"}, want: "-otlp-endpoint: does not begin with http://"},
		"no file":          {args: []string{"-otlp-headers-file", "/nowhere/h"}, want: "-otlp-headers-file: open /nowhere/h"},
		"folder":           {args: []string{"-otlp-headers-file", t.TempDir()}, want: "is no regular file"},
		"open to all":      {args: []string{"-otlp-headers-file", secretFile(t, "a: "+secret, 0o644)}, want: "chmod 0600"},
		"no header":        {args: []string{"-otlp-headers-file", secretFile(t, "a: 1\n"+secret+"\n", 0o600)}, want: ":2: want NAME: VALUE"},
		"twice":            {args: []string{"-otlp-headers-file", secretFile(t, "a: 1\nA: "+secret+"\n", 0o600)}, want: ":2: header a is there twice"},
		"too large":        {args: []string{"-otlp-headers-file", secretFile(t, strings.Repeat("# "+secret+"\n", 1<<13), 0o600)}, want: "larger than 64 KiB"},
		"too long a line":  {args: []string{"-otlp-headers-file", secretFile(t, "a: "+strings.Repeat(secret, 1<<14), 0o600)}, want: "larger than 64 KiB"},
		"variable":         {env: map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, want: "OTEL_EXPORTER_OTLP_TIMEOUT"},
		"authority":        {args: []string{"-otlp-endpoint", "https://a:1", "-tls-ca", "/nowhere/ca"}, want: "-tls-ca"},
		"authority by env": {args: []string{"-otlp-endpoint", "https://a:1"}, env: map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca"}, want: "/nowhere/ca"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := Load(append([]string{"-exporter", "otlp"}, test.args...), nil)
			if err == nil {
				_, _, err = l.OTLP(func(name string) string { return test.env[name] })
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestOTLPWithoutEffect(t *testing.T) {
	t.Parallel()
	l, err := Load([]string{"-otlp-endpoint", "http://a:1", "-otlp-timeout", "1s"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"-otlp-endpoint has no effect without -exporter otlp", "-otlp-timeout has no effect without -exporter otlp"}
	if diff := cmp.Diff(want, l.Warnings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDocumentation compares the flags that the documentation names with those there are.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	options := c.options()
	for _, found := range regexp.MustCompile("`-([a-z][a-z-]*)").FindAllStringSubmatch(string(doc), -1) {
		switch name := found[1]; name {
		case "config", "check-config", "print-config", "address", "tls", "include":
		default:
			if options[name] == nil {
				t.Errorf("docs/agent.md names -%s, which is no setting", name)
			}
		}
	}
	for name := range options {
		if strings.HasPrefix(name, "otlp-") && !strings.Contains(string(doc), "`-"+name+"`") {
			t.Errorf("docs/agent.md does not name -%s", name)
		}
	}
}
