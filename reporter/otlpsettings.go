// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Values of Options.Protocol, named as in OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	ProtocolGRPC = "grpc"
	ProtocolHTTP = "http/protobuf"
)

// Values of Options.Compression.
const (
	CompressionGzip = "gzip"
	CompressionZstd = "zstd"
	CompressionNone = "none"
)

// profilesPath is where profiles go below the address of a backend.
const profilesPath = "v1development/profiles"

// newOTLPSettings is newSettings for OTLP. The address becomes what the transport
// needs, and a URL decides whether there is TLS.
func newOTLPSettings(c *Config, o *Options) (settings, error) {
	s, err := newSettings(c, o)
	if c == nil {
		return s, err
	}
	errs := []error{err}
	s.Protocol = cmp.Or(s.Protocol, ProtocolGRPC)
	s.Compression = cmp.Or(s.Compression, CompressionGzip)
	if err := checkProtocol(s.Protocol); err != nil {
		errs = append(errs, err)
	}
	if err := checkCompression(s.Compression); err != nil {
		errs = append(errs, err)
	}
	if s.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout %v is negative", s.Timeout))
	}
	s.timers.operation = cmp.Or(s.Timeout, s.timers.operation)
	for name, value := range s.Headers {
		if err := checkHeader(name, value); err != nil {
			errs = append(errs, fmt.Errorf("header %q: %w", name, err))
		}
	}
	if s.CollAgentAddr != "" {
		errs = append(errs, s.resolve())
	}
	return s, errors.Join(errs...)
}

// CheckOTLP reports everything for which [StartOTLPWithOptions] would refuse the settings,
// but for the content of files. Its errors show no header and no URL.
func CheckOTLP(c *Config, o *Options) error {
	_, err := newOTLPSettings(c, o)
	return err
}

func checkProtocol(protocol string) error {
	if protocol != ProtocolGRPC && protocol != ProtocolHTTP {
		return fmt.Errorf("protocol %q is not supported: it must be %s or %s", protocol, ProtocolGRPC, ProtocolHTTP)
	}
	return nil
}

func checkCompression(compression string) error {
	known := []string{CompressionGzip, CompressionZstd, CompressionNone}
	if !slices.Contains(known, compression) {
		return fmt.Errorf("compression %q is not supported: it must be one of %s", compression, strings.Join(known, ", "))
	}
	return nil
}

// ownHeaders are not for users to set: the request could not be read any more.
var ownHeaders = []string{"content-type", "content-encoding", "content-length", "transfer-encoding", "host", "te", "connection"}

// checkHeader reports what is wrong with a header, without showing it.
func checkHeader(name, value string) error {
	lower := strings.ToLower(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return errors.New("its name is not one of HTTP")
	case slices.Contains(ownHeaders, lower) || strings.HasPrefix(lower, "grpc-"):
		return fmt.Errorf("%s is set by the protocol", lower)
	case !httpguts.ValidHeaderFieldValue(value):
		return errors.New("its value has characters that a header cannot have")
	}
	return nil
}

// resolve reads the address: of gRPC any that gRPC understands, or a URL; of HTTP a URL,
// or host:port. A URL without path is that of a backend, one with a path is used as it is.
func (s *settings) resolve() error {
	address := s.CollAgentAddr
	if !isURL(address) {
		if s.Protocol == ProtocolGRPC {
			return nil
		}
		switch {
		case strings.Contains(address, "://"): // a URL of something else
		case s.DisableTLS:
			address = "http://" + address
		default:
			address = "https://" + address
		}
	}
	u, err := parseEndpoint(address)
	if err != nil {
		return err
	}
	s.DisableTLS = u.Scheme == "http"
	s.CollAgentAddr = hostPort(u)
	s.peer = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	if s.Protocol == ProtocolHTTP {
		if u.Path == "" {
			u.Path = "/" + profilesPath
		}
		s.url = u.String()
		return nil
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return errors.New("the address has a path or a query, which gRPC cannot use: leave it out, or choose the protocol " + ProtocolHTTP)
	}
	return nil
}

func isURL(address string) bool {
	scheme, _, found := strings.Cut(address, "://")
	return found && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// parseEndpoint reads a URL. Its errors do not show it: it may hold a secret.
func parseEndpoint(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address is no URL: it should look like https://host:4318")
	}
	u.Scheme = strings.ToLower(u.Scheme)
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("the address must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("the address names no host")
	case u.User != nil:
		return nil, errors.New("the address holds a password: leave it out and set a header or a token file")
	}
	u.Fragment = ""
	return u, nil
}

// hostPort returns what to connect to, with the port that the scheme stands for.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
