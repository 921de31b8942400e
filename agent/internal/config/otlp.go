// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/reporter"
)

// Values of Config.Exporter.
const (
	ExporterStrobe = "strobe"
	ExporterOTLP   = "otlp"
)

// checkOTLP reports what is wrong with the settings of OTLP by themselves.
func (c *Config) checkOTLP(report func(flag, format string, args ...any)) {
	choose := func(flag, value string, of ...string) {
		if !slices.Contains(of, value) {
			report(flag, "is %q, must be %s", value, strings.Join(of, " or "))
		}
	}
	choose("exporter", c.Exporter, ExporterStrobe, ExporterOTLP)
	if c.OTLPProtocol != "" {
		choose("otlp-protocol", c.OTLPProtocol, reporter.ProtocolGRPC, reporter.ProtocolHTTP)
	}
	if c.OTLPCompression != "" {
		choose("otlp-compression", c.OTLPCompression, reporter.CompressionGzip, reporter.CompressionZstd, reporter.CompressionNone)
	}
}

// withoutEffect names the settings that only the other exporter would have a use for.
func (c *Config) withoutEffect() (flags []string) {
	if c.Exporter == ExporterOTLP {
		return nil // -collection-agent has a default
	}
	for flag, given := range map[string]bool{
		"otlp-compression": c.OTLPCompression != "", "otlp-endpoint": c.OTLPEndpoint != "", "otlp-headers-file": c.OTLPHeadersFile != "",
		"otlp-protocol": c.OTLPProtocol != "", "otlp-timeout": c.OTLPTimeout != 0,
	} {
		if given {
			flags = append(flags, flag)
		}
	}
	slices.Sort(flags)
	return flags
}

// OTLP returns the backend of OTLP and how to send to it, for the fields that these are
// about: what the settings say, else the variables of OpenTelemetry's exporters, else the
// defaults. It reads the file of headers and checks those of TLS, and everything else that
// a reporter would refuse. Errors show no header.
func (c *Config) OTLP(getenv func(string) string) (*reporter.Config, *reporter.Options, error) {
	to, o := &reporter.Config{}, &reporter.Options{}
	env := func(name string) string {
		switch {
		case c.OTLPProtocol != "" && name == "OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL":
			return c.OTLPProtocol // it decides what an endpoint in the environment means
		case c.OTLPEndpoint != "" && (strings.HasSuffix(name, "_ENDPOINT") || strings.HasSuffix(name, "_INSECURE")):
			return ""
		}
		return getenv(name)
	}
	if err := reporter.OTLPFromEnvironment(env, to, o); err != nil {
		return nil, nil, err
	}
	if err := c.endpoint(to, o); err != nil {
		return nil, nil, err
	}
	if c.OTLPHeadersFile != "" {
		headers, err := readHeaders(c.OTLPHeadersFile)
		if err != nil {
			return nil, nil, fmt.Errorf("-otlp-headers-file: %w", err)
		}
		o.Headers = headers
	}
	o.Compression = cmp.Or(c.OTLPCompression, o.Compression)
	o.Timeout = cmp.Or(c.OTLPTimeout, o.Timeout)
	o.TokenFile = c.TokenFile
	if !to.DisableTLS {
		with := *c
		with.TLSCA = cmp.Or(c.TLSCA, o.CAFile)
		if c.TLSCert == "" {
			with.TLSCert, with.TLSKey = o.CertFile, o.KeyFile
		}
		base, err := with.tls()
		if err != nil {
			return nil, nil, err
		}
		o.TLS, o.CAFile, o.CertFile, o.KeyFile = base, with.TLSCA, with.TLSCert, with.TLSKey
	}
	if err := reporter.CheckOTLP(to, o); err != nil {
		return nil, nil, fmt.Errorf("settings of OTLP: %w", err)
	}
	return to, o, nil
}

// endpoint sets where to send, how, and whether that is encrypted. A URL says so itself.
func (c *Config) endpoint(to *reporter.Config, o *reporter.Options) error {
	from := "endpoint of the environment"
	if c.OTLPEndpoint != "" {
		to.CollAgentAddr, from = c.OTLPEndpoint, "-otlp-endpoint"
	}
	if to.CollAgentAddr == "" {
		to.CollAgentAddr = "localhost:4317"
		if o.Protocol == reporter.ProtocolHTTP {
			to.CollAgentAddr = "localhost:4318"
		}
	}
	if !strings.Contains(to.CollAgentAddr, "://") { // not a URL
		if err := checkAddress(to.CollAgentAddr); err != nil {
			return fmt.Errorf("%s: %w, or a URL of http or https", from, err)
		}
		o.Protocol = cmp.Or(o.Protocol, reporter.ProtocolGRPC)
		insecure, certificates := to.DisableTLS, o.CAFile+o.CertFile+o.KeyFile != "" // of the environment
		to.DisableTLS = c.DisableTLS || !c.anyTLS() && (insecure || IsLoopback(to.CollAgentAddr) && !certificates)
		return nil
	}
	u, err := url.Parse(to.CollAgentAddr)
	if err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) { // it may hold a password
		return fmt.Errorf("%s: is no URL that begins with http:// or https://", from)
	}
	if o.Protocol == "" {
		o.Protocol = reporter.ProtocolHTTP
		if u.Port() == "4317" {
			o.Protocol = reporter.ProtocolGRPC
		}
	}
	to.DisableTLS = u.Scheme == "http"
	switch {
	case to.DisableTLS && c.anyTLS():
		return fmt.Errorf("%s: begins with http://, which contradicts -tls-ca, -tls-cert, -tls-key and -tls-server-name", from)
	case c.DisableTLS && !to.DisableTLS:
		return fmt.Errorf("%s: does not begin with http://, which contradicts -disable-tls", from)
	}
	return nil
}
