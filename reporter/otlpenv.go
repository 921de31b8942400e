// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	envPrefix         = "OTEL_EXPORTER_OTLP_"
	envProfilesPrefix = envPrefix + "PROFILES_"
	envResource       = "OTEL_RESOURCE_ATTRIBUTES"
	// grpcPort is registered for OTLP over gRPC.
	grpcPort = "4317"
	// noTimeout stands for no limit: the answer to a request that never comes must not
	// hold up everything for ever.
	noTimeout = time.Hour
)

// OTLPFromEnvironment sets those fields of c and o that the environment of
// OpenTelemetry exporters says something about: OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL,
// _HEADERS, _COMPRESSION, _TIMEOUT, _CERTIFICATE, _CLIENT_CERTIFICATE, _CLIENT_KEY and
// _INSECURE. A variable OTEL_EXPORTER_OTLP_PROFILES_* goes before the one that is for all
// signals; an empty one is not set. What has a precedence over the environment, such as
// flags, is for the caller to set afterwards.
//
// Where the protocol is not set, it is http/protobuf for an endpoint that is a URL, as the
// specification has it, but grpc for port 4317.
//
// Of OTEL_RESOURCE_ATTRIBUTES those become Options.ResourceAttributes that are about the
// host and what it belongs to: host.*, os.*, cloud.*, deployment.*, k8s.cluster.* and
// k8s.node.*. The others are about the process that has the environment, which is the
// profiler, and not about those that it profiles; so is OTEL_SERVICE_NAME.
//
// The error names every variable that cannot be used, and shows no header and no URL.
func OTLPFromEnvironment(getenv func(string) string, c *Config, o *Options) error {
	e := environment{getenv: getenv}
	e.read("PROTOCOL", func(_, value string) error {
		o.Protocol = strings.ToLower(value)
		return checkProtocol(o.Protocol)
	})
	e.read("INSECURE", func(_, value string) error {
		insecure := strings.EqualFold(value, "true")
		if !insecure && !strings.EqualFold(value, "false") {
			return fmt.Errorf("%q is not true or false", value)
		}
		c.DisableTLS = insecure
		return nil
	})
	e.read("ENDPOINT", func(name, value string) error {
		return readEndpoint(value, name == envProfilesPrefix+"ENDPOINT", c, o)
	})
	e.read("HEADERS", func(_, value string) error {
		o.Headers = map[string]string{}
		return eachPair(value, func(name, value string) error {
			o.Headers[name] = value
			return checkHeader(name, value)
		})
	})
	e.read("COMPRESSION", func(_, value string) error {
		o.Compression = strings.ToLower(value)
		return checkCompression(o.Compression)
	})
	e.read("TIMEOUT", func(_, value string) error {
		ms, err := strconv.ParseUint(value, 10, 63)
		if err != nil || ms > math.MaxInt32 {
			return fmt.Errorf("%q is not a number of milliseconds", value)
		}
		if o.Timeout = time.Duration(ms) * time.Millisecond; ms == 0 {
			o.Timeout = noTimeout
		}
		return nil
	})
	for name, field := range map[string]*string{
		"CERTIFICATE": &o.CAFile, "CLIENT_CERTIFICATE": &o.CertFile, "CLIENT_KEY": &o.KeyFile,
	} {
		e.read(name, func(_, value string) error {
			*field = value
			return nil
		})
	}
	e.readAs(envResource, func(_, value string) error {
		o.ResourceAttributes = map[string]string{}
		return eachPair(value, func(key, value string) error {
			if aboutHost(key) {
				o.ResourceAttributes[key] = value
			}
			return nil
		})
	})
	return errors.Join(e.errs...)
}

// environment reads variables and collects what is wrong with them.
type environment struct {
	getenv func(string) string
	errs   []error
}

// read hands the value of an exporter's variable to set, that for profiles if there is one.
func (e *environment) read(name string, set func(name, value string) error) {
	if !e.readAs(envProfilesPrefix+name, set) {
		e.readAs(envPrefix+name, set)
	}
}

func (e *environment) readAs(name string, set func(name, value string) error) bool {
	value := strings.TrimSpace(e.getenv(name))
	if value == "" {
		return false
	}
	if err := set(name, value); err != nil {
		e.errs = append(e.errs, fmt.Errorf("environment variable %s: %w", name, err))
	}
	return true
}

// readEndpoint sets the address. A URL for all signals is that of a backend; one for
// profiles is used as it is, with the path / if it has none.
func readEndpoint(value string, forProfiles bool, c *Config, o *Options) error {
	if !isURL(value) {
		if o.Protocol == ProtocolHTTP {
			return fmt.Errorf("it must begin with http:// or https:// for %s", ProtocolHTTP)
		}
		o.Protocol, c.CollAgentAddr = ProtocolGRPC, value
		return nil
	}
	u, err := parseEndpoint(value)
	if err != nil {
		return err
	}
	if o.Protocol == "" {
		o.Protocol = ProtocolHTTP
		if u.Port() == grpcPort {
			o.Protocol = ProtocolGRPC
		}
	}
	c.DisableTLS = u.Scheme == "http"
	switch {
	case o.Protocol == ProtocolGRPC:
	case !forProfiles:
		u = u.JoinPath(profilesPath)
	case u.Path == "":
		u.Path = "/"
	}
	c.CollAgentAddr = u.String()
	return nil
}

// eachPair reads key=value,key=value with percent-encoding. Its errors show neither: with a
// comma in the wrong place, part of a secret value would be taken for a key.
func eachPair(list string, f func(key, value string) error) error {
	for i, item := range strings.Split(list, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, value, found := strings.Cut(item, "=")
		key, errKey := url.PathUnescape(strings.TrimSpace(key))
		value, errValue := url.PathUnescape(strings.TrimSpace(value))
		var err error
		switch {
		case !found || key == "":
			err = errors.New("it is not key=value")
		case errKey != nil || errValue != nil:
			err = errors.New("it has a % that is not followed by two hexadecimal digits")
		default:
			err = f(key, value)
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return nil
}

// aboutHost reports whether a resource attribute holds for every process of a host.
func aboutHost(key string) bool {
	for _, prefix := range []string{"host.", "os.", "cloud.", "deployment.", "k8s.cluster.", "k8s.node."} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
