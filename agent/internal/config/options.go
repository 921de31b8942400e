// SPDX-License-Identifier: Apache-2.0

package config

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/strobe-profiler/strobe/internal/invocation"
)

// option is a setting as the user sees it.
type option struct {
	name, alias string
	// argument stands for the value in help texts; "" for switches.
	argument, help string
	*setting
}

// EnvPrefix precedes the names of settings in the environment, which are in
// upper case with underscores: STROBE_AGENT_SAMPLES_PER_SECOND.
const EnvPrefix = "STROBE_AGENT_"

// env returns the name of the option's variable.
func (o *option) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

type group struct {
	title   string
	options []option
}

// groups lists every setting of the configuration, in the order of the help text.
func (c *Config) groups() []group {
	return []group{
		{"Delivery", []option{
			{"collection-agent", "", "HOST:PORT", "where to send profiles", text(&c.CollectionAgent)},
			{"disable-tls", "", "", "do not encrypt; to loopback addresses that is so anyway unless a -tls flag is given", boolean(&c.DisableTLS)},
			{"exporter", "", "NAME", "strobe: to the collection agent, by its own protocol; otlp: to any backend of OTLP profiles, see below", text(&c.Exporter)},
			{"reporter-interval", "", "DURATION", "how often to send", seconds(&c.ReporterInterval)},
			{"reporter-jitter", "", "FRACTION", "by which part of itself -reporter-interval varies at random, 0 to 1", number(&c.ReporterJitter)},
			{"spool-bytes", "", "BYTES", "most that the spool takes on disk, 1MiB to 1TiB; above it the oldest samples go", bytes(&c.SpoolBytes)},
			{"spool-dir", "", "DIR", "where samples wait while the collection agent is away; \"off\" to keep them in memory only", text(&c.SpoolDir)},
			{"tls-ca", "", "FILE", "PEM certificates to trust in place of the system's", text(&c.TLSCA)},
			{"tls-cert", "", "FILE", "PEM certificate to show to the collection agent; needs -tls-key", text(&c.TLSCert)},
			{"tls-key", "", "FILE", "PEM key of -tls-cert", text(&c.TLSKey)},
			{"tls-server-name", "", "NAME", "name in the collection agent's certificate, if it is not that of the address", text(&c.TLSServerName)},
			{"token-file", "", "FILE", "file with the token that the collection agent wants, readable by its owner only; read again when it changes", text(&c.TokenFile)},
		}},
		{"OTLP, with -exporter otlp (what is not given comes from OTEL_EXPORTER_OTLP_PROFILES_* and OTEL_EXPORTER_OTLP_*)", []option{
			{"otlp-compression", "", "NAME", "gzip, zstd, which not every backend knows, or none; gzip if empty", text(&c.OTLPCompression)},
			{"otlp-endpoint", "", "URL", "where to send: http:// or https:// with a host, its port, and a path if it is not /v1development/profiles; or HOST:PORT for gRPC; localhost:4317 if empty, or localhost:4318 for HTTP", text(&c.OTLPEndpoint)},
			{"otlp-headers-file", "", "FILE", "file with headers for the backend, each on a line as NAME: VALUE, readable by its owner only", text(&c.OTLPHeadersFile)},
			{"otlp-protocol", "", "NAME", "grpc or http/protobuf; if empty, grpc for the port 4317 and without http:// or https://", text(&c.OTLPProtocol)},
			{"otlp-timeout", "", "DURATION", "how long an attempt at a request may take; 0 for the environment's, or 15s", seconds(&c.OTLPTimeout)},
		}},
		{"Sampling", []option{
			{"memory-limit", "", "BYTES", "memory of agent and unwind tables together; the agent's own part is a soft limit", bytes(&c.MemoryLimit)},
			{"samples-per-second", "", "N", "samples per second and busy CPU, 1 to 1000", integer(&c.SamplesPerSecond)},
			{"unwind-table-bytes", "", "BYTES", "kernel memory for unwind tables, 1MiB to 1GiB", bytes(&c.UnwindTableBytes)},
		}},
		{"Selection of processes (lists: repeat the flag or use commas; patterns as in a shell)", []option{
			{"exclude-cgroup", "", "PATTERN", "cgroup v2 paths not to profile; /** at the end takes all below", texts(&c.ExcludeCgroups)},
			{"exclude-executable", "", "PATTERN", "executables not to profile, by path, or by name if there is no slash", texts(&c.ExcludeExecutables)},
			{"exclude-pid", "", "PID", "processes not to profile", pids(&c.ExcludePIDs)},
			{"include-cgroup", "", "PATTERN", "cgroup v2 paths to profile; with any -include flag, nothing else is", texts(&c.IncludeCgroups)},
			{"include-executable", "", "PATTERN", "executables to profile; with any -include flag, nothing else is", texts(&c.IncludeExecutables)},
			{"include-pid", "", "PID", "processes to profile; with any -include flag, nothing else is", pids(&c.IncludePIDs)},
		}},
		{"Identity", []option{
			{"command-lines", "", "", "send the command lines of processes, which may hold secrets", boolean(&c.CommandLines)},
			{"env-vars", "", "NAME", "variables of processes to send as labels", texts(&c.EnvVars)},
			{"host-id", "", "ID", "ID of this host; derived from the machine ID if empty", text(&c.HostID)},
			{"host-name", "", "NAME", "name of this host; that of the system if empty", text(&c.HostName)},
			{"label-cpus", "", "", "label samples with the number of the CPU, which makes more data", boolean(&c.LabelCPUs)},
			{"tags", "", "KEY=VALUE", "labels of everything from this host", labels(&c.Tags)},
		}},
		{"Containers: whom to ask for their names, images, labels and pods; nothing waits for the answers", []option{
			{"container-labels", "", "KEY", "labels of containers to send, as container.label.KEY", texts(&c.ContainerLabels)},
			{"container-sockets", "", "PATH", "sockets of Docker, Podman, containerd and CRI-O to ask; auto for those at the usual places, off for none", texts(&c.ContainerSockets)},
			{"kubelet", "", "URL", "the kubelet to ask for its pods; auto for that of $NODE_IP or $NODE_NAME if there is a service account, off for none", text(&c.Kubelet)},
			{"kubelet-ca", "", "FILE", "PEM certificates to trust for -kubelet; those of the service account if empty", text(&c.KubeletCA)},
			{"kubelet-skip-verify", "", "", "trust whatever answers at -kubelet, and show it the token of the service account", boolean(&c.KubeletSkipVerify)},
			{"pod-labels", "", "KEY", "labels of pods to send, as k8s.pod.label.KEY", texts(&c.PodLabels)},
		}},
		{"Operation", []option{
			{"http-address", "", "HOST:PORT", "serve /metrics, /-/healthy, /-/ready and, on loopback, /debug/pprof; \"off\" for none", text(&c.HTTPAddress)},
			{"keep-capabilities", "", "", "do not give up the privileges that are not needed after the start", boolean(&c.KeepCapabilities)},
			{"log-format", "", "FORMAT", "text or json", text(&c.LogFormat)},
			{"verbose", "v", "", "log more", boolean(&c.Verbose)},
		}},
	}
}

// options returns all settings by name.
func (c *Config) options() map[string]*option {
	all := map[string]*option{}
	for _, g := range c.groups() {
		for i := range g.options {
			o := &g.options[i]
			all[o.name] = o
		}
	}
	return all
}

// Modes are what the command line can ask for in place of running.
type Modes struct {
	// File is the configuration file, "" for none.
	File                              string
	CheckConfig, PrintConfig, Version bool
}

// modeFlags adds the flags that are no settings.
func (m *Modes) flags(fs *flag.FlagSet) {
	fs.StringVar(&m.File, "config", "", "")
	fs.BoolVar(&m.CheckConfig, "check-config", false, "")
	fs.BoolVar(&m.PrintConfig, "print-config", false, "")
	fs.BoolVar(&m.Version, "version", false, "")
}

// program is the name that people call it by.
var program = invocation.Name("agent")

var usageHead = program + ` profiles every process of this host and sends the profiles to a collection agent,
or to any backend of OTLP profiles.

Usage:
  ` + program + ` [FLAGS]              profile until stopped
  ` + program + ` record [FLAGS]       profile for a while and write a file; needs no collection agent
  ` + program + ` doctor [-o json]     say what this host allows, and how to get the rest
  ` + program + ` status [FLAGS]       ask the agent that runs on this host how it does
  ` + program + ` version              print the version

Flags may be written with one dash or two. Each one can also be set in the
environment, as ` + EnvPrefix + `SAMPLES_PER_SECOND=50, or in a YAML file given with
-config, as samples-per-second: 50. The command line beats the environment, the
environment beats the file. What a file has that is not known is an error.
`

var usageTail = `
Other
  -config FILE
        YAML file with settings (environment: ` + EnvPrefix + `CONFIG)
  -check-config
        check the settings and exit: 0 if they are valid, 2 if not
  -print-config
        print the settings in effect as a configuration file and exit
  -version
        print the version and exit

The agent needs root, or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_SYSLOG,
CAP_DAC_READ_SEARCH and CAP_CHECKPOINT_RESTORE; "` + program + ` doctor" tells what is
missing, and once it runs it gives up all others. SIGTERM makes it send what it
has and exit. Exit status: 0 stopped as asked, 1 error, 2 wrong usage.
`

// WriteUsage writes the help text.
func WriteUsage(w io.Writer) error {
	var b strings.Builder
	b.WriteString(usageHead)
	c := Default()
	for _, g := range c.groups() {
		fmt.Fprintf(&b, "\n%s\n", g.title)
		for i := range g.options {
			writeOption(&b, &g.options[i])
		}
	}
	b.WriteString(usageTail)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeOption(b *strings.Builder, o *option) {
	b.WriteString("  -")
	if o.alias != "" {
		b.WriteString(o.alias + ", -")
	}
	b.WriteString(o.name)
	if o.argument != "" {
		b.WriteString(" " + o.argument)
	}
	b.WriteString("\n        " + o.help)
	if value := o.String(); value != "" && !o.isBool {
		b.WriteString(" (default " + value + ")")
	}
	b.WriteByte('\n')
}
