// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sent is what a reporter would do with what the environment says.
type sent struct {
	Protocol, Address, URL, Peer string
	Plain                        bool
}

func TestOTLPEndpoints(t *testing.T) {
	t.Parallel()
	const all, own = envPrefix + "ENDPOINT", envProfilesPrefix + "ENDPOINT"
	for name, tc := range map[string]struct {
		env  map[string]string
		want sent
	}{
		"base": {map[string]string{all: "http://c:4318"},
			sent{ProtocolHTTP, "c:4318", "http://c:4318/v1development/profiles", "http://c:4318/v1development/profiles", true}},
		"base with a slash": {map[string]string{all: "http://c:4318/"},
			sent{ProtocolHTTP, "c:4318", "http://c:4318/v1development/profiles", "http://c:4318/v1development/profiles", true}},
		"base with a path": {map[string]string{all: "https://c/my%20collector/"},
			sent{ProtocolHTTP, "c:443", "https://c/my%20collector/v1development/profiles", "https://c/my%20collector/v1development/profiles", false}},
		"base with a query": {map[string]string{all: "https://c/x?key=secret"},
			sent{ProtocolHTTP, "c:443", "https://c/x/v1development/profiles?key=secret", "https://c/x/v1development/profiles", false}},
		"own goes first": {map[string]string{all: "http://c:4318", own: "https://d/profiles/"},
			sent{ProtocolHTTP, "d:443", "https://d/profiles/", "https://d/profiles/", false}},
		"own without a path": {map[string]string{own: "http://d:4318"},
			sent{ProtocolHTTP, "d:4318", "http://d:4318/", "http://d:4318/", true}},
		"gRPC by its port": {map[string]string{all: "http://c:4317"}, sent{ProtocolGRPC, "c:4317", "", "http://c:4317", true}},
		"HTTP in spite of the port": {map[string]string{all: "http://c:4317", envPrefix + "PROTOCOL": "http/protobuf"},
			sent{ProtocolHTTP, "c:4317", "http://c:4317/v1development/profiles", "http://c:4317/v1development/profiles", true}},
		"gRPC by name": {map[string]string{all: "HTTPS://c:999/", envProfilesPrefix + "PROTOCOL": "grpc", envPrefix + "PROTOCOL": "http/json"},
			sent{ProtocolGRPC, "c:999", "", "https://c:999/", false}},
		"gRPC without a port": {map[string]string{all: "https://c", envPrefix + "PROTOCOL": "grpc"}, sent{ProtocolGRPC, "c:443", "", "https://c", false}},
		"no scheme":           {map[string]string{all: "c:4317"}, sent{ProtocolGRPC, "c:4317", "", "c:4317", false}},
		"no scheme, insecure": {map[string]string{all: "c:4317", envPrefix + "INSECURE": "True"}, sent{ProtocolGRPC, "c:4317", "", "c:4317", true}},
		"the scheme beats insecure": {map[string]string{all: "https://c:4317", envPrefix + "INSECURE": "true"},
			sent{ProtocolGRPC, "c:4317", "", "https://c:4317", false}},
		"the scheme beats secure": {map[string]string{all: "http://c:4317", envPrefix + "INSECURE": "false"},
			sent{ProtocolGRPC, "c:4317", "", "http://c:4317", true}},
		"gRPC's own forms": {map[string]string{all: "unix:///run/otlp.sock"}, sent{ProtocolGRPC, "unix:///run/otlp.sock", "", "unix:///run/otlp.sock", false}},
		"IPv6":             {map[string]string{all: "http://[::1]:4318"}, sent{ProtocolHTTP, "[::1]:4318", "http://[::1]:4318/v1development/profiles", "http://[::1]:4318/v1development/profiles", true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, o := &Config{}, &Options{}
			if err := OTLPFromEnvironment(func(name string) string { return tc.env[name] }, c, o); err != nil {
				t.Fatal(err)
			}
			s, err := newOTLPSettings(c, o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, sent{s.Protocol, s.CollAgentAddr, s.url, s.peer, s.DisableTLS}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOTLPEnvironment(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env  map[string]string
		want Options
	}{
		"nothing": {},
		"empty is not set": {env: map[string]string{envPrefix + "TIMEOUT": " ", envProfilesPrefix + "COMPRESSION": "", envPrefix + "COMPRESSION": "ZSTD"},
			want: Options{Compression: CompressionZstd}},
		"headers": {env: map[string]string{envPrefix + "HEADERS": "api-key=a%20b%3D%2C , X-Tenant = one=two,,empty="},
			want: Options{Headers: map[string]string{"api-key": "a b=,", "X-Tenant": "one=two", "empty": ""}}},
		"own headers are all": {env: map[string]string{envPrefix + "HEADERS": "a=1,b=2", envProfilesPrefix + "HEADERS": "b=3"},
			want: Options{Headers: map[string]string{"b": "3"}}},
		"timeout":     {env: map[string]string{envPrefix + "TIMEOUT": "2500"}, want: Options{Timeout: 2500 * time.Millisecond}},
		"no limit":    {env: map[string]string{envPrefix + "TIMEOUT": "0"}, want: Options{Timeout: noTimeout}},
		"compression": {env: map[string]string{envPrefix + "COMPRESSION": "gzip", envProfilesPrefix + "COMPRESSION": "none"}, want: Options{Compression: CompressionNone}},
		"files of TLS": {env: map[string]string{envPrefix + "CERTIFICATE": "/ca", envPrefix + "CLIENT_CERTIFICATE": "/crt", envPrefix + "CLIENT_KEY": "/key", envProfilesPrefix + "CERTIFICATE": "/own"},
			want: Options{CAFile: "/own", CertFile: "/crt", KeyFile: "/key"}},
		"resource": {env: map[string]string{"OTEL_SERVICE_NAME": "profiler",
			envResource: "service.name=agent,k8s.node.name=n%2F1,k8s.pod.name=agent-x,deployment.environment.name=prod,host.type=m1,process.pid=1,cloud.region=eu"},
			want: Options{ResourceAttributes: map[string]string{"k8s.node.name": "n/1", "deployment.environment.name": "prod", "host.type": "m1", "cloud.region": "eu"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got Options
			if err := OTLPFromEnvironment(func(name string) string { return tc.env[name] }, &Config{}, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Options{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An error names the variable and tells no secret.
func TestOTLPEnvironmentErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ variable, value, want string }{
		"protocol":              {envProfilesPrefix + "PROTOCOL", "http/json", "grpc or http/protobuf"},
		"insecure":              {envPrefix + "INSECURE", "yes", "true or false"},
		"endpoint":              {envPrefix + "ENDPOINT", "http://se:cret@c", "password"},
		"endpoint's port":       {envPrefix + "ENDPOINT", "http://c:secret", "no URL"},
		"endpoint without host": {envPrefix + "ENDPOINT", "https:///secret", "no host"},
		"compression":           {envPrefix + "COMPRESSION", "brotli", "zstd"},
		"timeout":               {envPrefix + "TIMEOUT", "5s", "milliseconds"},
		"negative timeout":      {envProfilesPrefix + "TIMEOUT", "-1", "milliseconds"},
		"long timeout":          {envProfilesPrefix + "TIMEOUT", "9999999999999", "milliseconds"},
		"header without value":  {envPrefix + "HEADERS", "a=b,secret", "entry 2"},
		"percent":               {envPrefix + "HEADERS", "a=secret%zz", "entry 1"},
		"line feed":             {envPrefix + "HEADERS", "a=secret%0ax", "entry 1"},
		"name":                  {envPrefix + "HEADERS", "a=b,sec ret=x", "entry 2"},
		"own header":            {envPrefix + "HEADERS", "Content-Type=secret", "content-type is set by the protocol"},
		"header of gRPC":        {envPrefix + "HEADERS", "grpc-timeout=secret", "set by the protocol"},
		"resource":              {envResource, "secret", "entry 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := OTLPFromEnvironment(func(name string) string {
				return map[string]string{tc.variable: tc.value}[name]
			}, &Config{}, &Options{})
			if err == nil || !strings.Contains(err.Error(), tc.variable+": ") || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v", err)
			}
			if strings.Contains(err.Error(), "ret") {
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
	// All that is wrong is told at once, and HTTP needs a URL.
	err := OTLPFromEnvironment(func(name string) string {
		return map[string]string{envPrefix + "PROTOCOL": "http/protobuf", envPrefix + "ENDPOINT": "c:4318", envPrefix + "TIMEOUT": "x"}[name]
	}, &Config{}, &Options{})
	if err == nil || !strings.Contains(err.Error(), "ENDPOINT: it must begin with http://") || !strings.Contains(err.Error(), "TIMEOUT") {
		t.Errorf("error %v", err)
	}
}

func TestBadOTLPSettings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		address string
		opts    Options
		want    string
	}{
		"protocol":       {"c:1", Options{Protocol: "http"}, "protocol"},
		"compression":    {"c:1", Options{Compression: "lz4"}, "compression"},
		"timeout":        {"c:1", Options{Timeout: -1}, "timeout"},
		"header":         {"c:1", Options{Headers: map[string]string{"a": "secret\n"}}, `header "a"`},
		"path with gRPC": {"http://c:1/x?secret", Options{}, "path"},
		"password":       {"https://u:secret@c", Options{Protocol: ProtocolHTTP}, "password"},
		"other scheme":   {"htps://c:4318/secret", Options{Protocol: ProtocolHTTP}, "must begin with http://"},
		"no host":        {"", Options{Protocol: ProtocolHTTP}, "address"},
		"not a URL":      {"a b", Options{Protocol: ProtocolHTTP}, "no URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := StartOTLPWithOptions(context.Background(), &Config{CollAgentAddr: tc.address}, &tc.opts)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestStartOTLPFails(t *testing.T) {
	t.Parallel()
	if r, err := StartOTLP(context.Background(), &Config{}); r != nil || err == nil {
		t.Errorf("reporter %v, error %v", r, err)
	}
}

// What an address without a scheme means for HTTP.
func TestOTLPHTTPAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"c:4318": "http://c:4318/v1development/profiles", "c:4318/": "http://c:4318/", "c:4318/x": "http://c:4318/x",
		"https://c": "https://c/v1development/profiles",
	} {
		s, err := newOTLPSettings(&Config{CollAgentAddr: address, DisableTLS: true}, &Options{Protocol: ProtocolHTTP})
		if err != nil || s.url != want {
			t.Errorf("%s: %s, %v", address, s.url, err)
		}
	}
}
