// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse"
	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
	"github.com/strobe-profiler/strobe/internal/settings"
)

// envPrefix starts the names of environment variables: -data-dir is also
// STROBE_COLLECTIONAGENT_DATA_DIR.
const envPrefix = "STROBE_COLLECTIONAGENT_"

// actions are what the command line asks for besides settings.
type actions struct {
	configFile                        string
	version, checkConfig, printConfig bool
}

// isAction reports whether a flag is one that only the command line may have.
func isAction(name string) bool {
	switch name {
	case "version", "check-config", "print-config":
		return true
	}
	return false
}

// flags returns the set of flags, which write to c and a.
func flags(c *Config, a *actions, output io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("collectionagent", flag.ContinueOnError)
	fs.SetOutput(output)
	fs.StringVar(&a.configFile, "config", "", "YAML `file` with settings, one \"name: value\" for each flag without its dash")
	fs.BoolVar(&a.version, "version", false, "print the version and exit")
	fs.BoolVar(&a.checkConfig, "check-config", false, "check the settings and the files they name, and exit: 0 if they are right, 1 if not")
	fs.BoolVar(&a.printConfig, "print-config", false, "print the settings in force as a configuration file and exit")
	fs.StringVar(&c.DataDir, "data-dir", c.DataDir, "`directory` for everything that is stored; created when missing")
	fs.StringVar(&c.HTTPAddress, "http-address", c.HTTPAddress, "`host:port` of the web page, the API and /metrics")
	fs.StringVar(&c.GRPCAddress, "grpc-address", c.GRPCAddress, "`host:port` that agents send to")
	fs.StringVar(&c.TLSCert, "tls-cert", c.TLSCert, "PEM `file` with the certificate of both addresses; without one, addresses that other machines can reach get one of the server's own making")
	fs.StringVar(&c.TLSKey, "tls-key", c.TLSKey, "PEM `file` with the key of -tls-cert")
	fs.StringVar(&c.TLSClientCA, "tls-client-ca", c.TLSClientCA, "PEM `file`: clients must show a certificate signed by one in it, see -tls-client-auth")
	fs.StringVar(&c.TLSClientAuth, "tls-client-auth", c.TLSClientAuth, "`who` needs a certificate with -tls-client-ca: grpc (agents) or all (agents, and browsers where HTTP has TLS)")
	fs.StringVar(&c.TLSNames, "tls-names", c.TLSNames, "further `names` or addresses of the server, separated by commas, for the certificate that it makes itself")
	fs.BoolVar(&c.Insecure, "insecure", c.Insecure, "no TLS without -tls-cert, also on addresses that other machines can reach")
	fs.StringVar((*string)(&c.Auth), "auth", string(c.Auth), "`mode` of tokens: auto (needed when other machines can reach an address, and from the first token on), required, or off")
	fs.StringVar(&c.AuthFile, "auth-file", c.AuthFile, "`file` of projects and tokens (default auth.json in -data-dir)")
	fs.StringVar(&c.AllowedHosts, "allowed-hosts", c.AllowedHosts, "`names`, separated by commas, that the page may be opened under while no token is needed, beside those of this machine; for reverse proxies")
	fs.StringVar(&c.ScrapeConfig, "scrape-config", c.ScrapeConfig, "YAML `file` that says which programs to fetch profiles from over HTTP, as Prometheus does metrics; read again when it changes and on SIGHUP")
	fs.StringVar(&c.ProfileMetrics, "profile-metrics", c.ProfileMetrics, "YAML `file` that says of which profiles to make metrics: shares of functions, for /metrics")
	c.registerStore(fs)
	fs.TextVar(&c.Memory, "memory", c.Memory, "memory for everything together: requests, samples not in a block yet, caches, queries, merges of blocks; a `size` such as 1GiB, 0: a quarter of what the machine or the cgroup has, at least 256MiB and at most 2GiB")
	fs.TextVar(&c.HeadMaxBytes, "head-max-bytes", c.HeadMaxBytes, "of -memory, that for samples that are not in a block yet; a `size` such as 256MiB, 0: its share")
	fs.TextVar(&c.MinFreeBytes, "min-free-bytes", c.MinFreeBytes, "free disk space below which nothing is taken in; a `size`, 0: until the disk is full")
	c.Retention.register(fs)
	fs.TextVar(&c.MaxRequestBytes, "max-request-bytes", c.MaxRequestBytes, "largest request of an agent, or of OTLP, uncompressed; a `size`")
	fs.IntVar(&c.MaxConcurrent, "max-concurrent", c.MaxConcurrent, "`number` of requests of agents worked on at once")
	c.Limits.register(fs)
	fs.DurationVar(&c.ShutdownTimeout, "shutdown-timeout", c.ShutdownTimeout, "`time` for requests in flight to finish after SIGTERM")
	fs.TextVar(&c.LogLevel, "log-level", c.LogLevel, "least `level` to log: debug, info, warn or error")
	fs.StringVar(&c.LogFormat, "log-format", c.LogFormat, "`format` of the log on standard error: text or json")
	fs.Usage = func() { usage(fs) }
	return fs
}

// usage prints the help.
func usage(fs *flag.FlagSet) {
	out := fs.Output()
	_, _ = fmt.Fprint(out, `Usage: `+program+` [flags]
       `+program+` token create|list|rotate|revoke
       `+program+` project create|list|remove
       `+program+` backup|restore|verify|inspect|compact
       `+program+` version
       `+program+` status
       `+program+` ca

The server of Strobe: takes profiles in over gRPC, stores them on local disk or
in ClickHouse, and serves them over HTTP. Without flags it stores under ./strobe-data and
listens on loopback only.

A setting comes from, first found first: the flag (one or two dashes), the
environment (-data-dir is `+envPrefix+`DATA_DIR), the file of -config
(data-dir: ...), the default. Unknown flags, keys and variables with the prefix
are errors. Exit status: 0 after SIGTERM, 1 on failure, 2 on wrong usage.

Flags:
`)
	fs.PrintDefaults()
}

// load returns the configuration that arguments, environment and file make up.
// The error joins every problem found.
func load(args, environ []string, output io.Writer) (*Config, *actions, error) {
	c, a := Default(), &actions{}
	fs := flags(&c, a, output)
	if err := fs.Parse(args); err != nil {
		return nil, nil, errors.Join(errUsage, err) // was printed
	}
	if fs.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q", fs.Arg(0))
		_, _ = fmt.Fprintln(output, err)
		return nil, nil, errors.Join(errUsage, err)
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	err := setFromEnv(fs, environ, given)
	if a.configFile != "" {
		err = errors.Join(err, setFromFile(fs, a.configFile, given))
	}
	if err != nil {
		return nil, nil, err
	}
	return &c, a, nil
}

// errUsage marks errors in the use of the command line that were printed.
var errUsage = errors.New("wrong usage")

// setFromEnv sets what the command line did not from variables with the prefix.
func setFromEnv(fs *flag.FlagSet, environ []string, given map[string]bool) error {
	var errs []error
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		rest, ok := strings.CutPrefix(variable, envPrefix)
		if !ok || settings.IsServiceLink(rest) {
			continue
		}
		name := strings.ReplaceAll(strings.ToLower(rest), "_", "-")
		switch f := fs.Lookup(name); {
		case f == nil || isAction(name) || strings.ToUpper(rest) != rest:
			errs = append(errs, fmt.Errorf("environment: %s is not a setting", variable))
		case given[name]:
		default:
			given[name] = true
			if err := f.Value.Set(value); err != nil {
				errs = append(errs, fmt.Errorf("environment: %s: %w", variable, err))
			}
		}
	}
	return errors.Join(errs...)
}

// setFromFile sets what neither command line nor environment did from a file.
func setFromFile(fs *flag.FlagSet, path string, given map[string]bool) error {
	b, err := os.ReadFile(path) //nolint:gosec // named by the operator
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(b))
	var document, more yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil // an empty file says nothing
	} else if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one YAML document", path)
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil // only comments
	}
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: want lines of the form name: value", path, root.Line)
	}
	var errs []error
	seen := make(map[string]bool)
	scratch := flags(&Config{}, &actions{}, io.Discard)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s:%d: "+format, append([]any{path, key.Line}, args...)...))
		}
		name := key.Value
		f := fs.Lookup(name)
		switch {
		case f == nil || isAction(name) || name == "config":
			bad("unknown key %q", name)
		case seen[name]:
			bad("%s is set twice", name)
		case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
			bad("%s: want a single value", name)
		case given[name]:
			// Something with precedence replaces it, but it has to be right all the same.
			if err := scratch.Lookup(name).Value.Set(value.Value); err != nil {
				bad("%s: %w", name, err)
			}
		default:
			if err := f.Value.Set(value.Value); err != nil {
				bad("%s: %w", name, err)
			}
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}

// mayHoldSecret reports whether an address is one that [Config.Validate] refuses: those
// with a secret in them, and those of which nobody can tell.
func (c *Config) mayHoldSecret(name string) bool {
	var err error
	switch {
	case name == "clickhouse-dsn" && c.ClickHouse.DSN != "":
		err = clickhouse.ParseDSN(c.ClickHouse.DSN, false)
	case name == "object-store" && c.Objects.Location != "":
		_, err = objects.ParseLocation(c.Objects.Location)
	}
	return err != nil
}

// printConfig writes the settings as a configuration file, without secrets: it gets
// into reports of bugs.
func printConfig(w io.Writer, c *Config) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	fs := flags(c, &actions{}, io.Discard)
	fs.VisitAll(func(f *flag.Flag) {
		if isAction(f.Name) || f.Name == "config" {
			return
		}
		_, help := flag.UnquoteUsage(f)
		value := &yaml.Node{Kind: yaml.ScalarNode, Value: f.Value.String()}
		if c.mayHoldSecret(f.Name) {
			value.Value = "(not shown: it is not valid, and may hold a secret)"
		}
		if value.Value == "" {
			value.Style = yaml.DoubleQuotedStyle
		}
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: f.Name, HeadComment: help}, value)
	})
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return e.Close()
}
