// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/tlsfiles"
)

// Options holds what [Config] has no field for. The zero value is usable, and so
// is a nil pointer; a field that is zero has the default that stands with it.
type Options struct {
	// HostID names the host in every batch, stable across restarts: at most 128
	// bytes of printable text. Default: /etc/machine-id, else the host name.
	HostID string
	// HostName is the name people know the host by, at most 255 bytes. Default: os.Hostname.
	HostName string
	// RunID names this run of the agent. Default: random.
	RunID [16]byte

	// TLS is the base of the TLS configuration; the version is raised to 1.3, and its
	// ServerName is the name in the server's certificate if that is not the address's.
	// CAFile replaces the system's roots; CertFile and KeyFile are the client's
	// certificate. All PEM, and read again for new connections when they change.
	// Ignored with Config.DisableTLS.
	TLS                       *tls.Config
	CAFile, CertFile, KeyFile string
	// Headers travel with every request, as metadata of gRPC or as headers of HTTP. For a
	// token see TokenFile.
	Headers map[string]string

	// Logger receives changes of state, not events. Default: discard.
	Logger *slog.Logger
	// Registerer receives the metrics strobe_agent_reporter_*; nil: none.
	Registerer prometheus.Registerer

	// Jitter is the part of ReportInterval by which flushes are spread, 0..1; negative: none. Default 0.2.
	Jitter float64
	// DefinitionCacheEntries bounds what is remembered of the server's knowledge of
	// stacks and of names; a quarter of it for executables and fallback symbols. Default 65,536.
	DefinitionCacheEntries uint32
	// MaxQueueBytes bounds the memory of all queues and unacknowledged batches together. Default 64 MiB.
	MaxQueueBytes int
	// StopTimeout limits how long Stop tries to deliver. Default 5 s.
	StopTimeout time.Duration
	// AgentVersion is told to the server.
	AgentVersion string

	// SpoolDir is a directory for batches that cannot be delivered and do not belong in
	// memory. It is created with mode 0700 and used by one reporter at a time. What a run
	// leaves in it is sent by the next one of the same protocol: [OTLPReporter] keeps its
	// batches in a directory "otlp" of its own in it, see [SpoolStatus.ForeignBytes].
	// "": no spool.
	SpoolDir string
	// SpoolMaxBytes caps what the spool takes up on disk. Over it the oldest samples go
	// first, and definitions only when there are no samples left. Default 512 MiB, at least 64 KiB.
	SpoolMaxBytes int64
	// TokenFile holds a bearer token, which travels as authorization with every RPC. It is
	// read again when it changes and when the server says Unauthenticated. The token is
	// sent only over TLS, to a loopback address, or with Config.DisableTLS. "": none.
	TokenFile string
	// Limitations lists what is off or limited on this host, for the report of status to
	// the server. It is called at each report, from a goroutine of the reporter; nil: none.
	Limitations func() []Limitation
	// Describe says who the process of a sample is by now: it returns the process that it is
	// given, or another value with what has been found out since the sample was reported,
	// such as the name of its container. It is called for each process of a batch, from a
	// goroutine of the reporter, must not block, and should return the same value as long as
	// nothing changes; nil: processes stay as they were reported.
	Describe func(*libpf.Process) *libpf.Process

	// The rest is for [OTLPReporter] alone; [OTLPFromEnvironment] fills it as well.

	// Protocol is [ProtocolGRPC] or [ProtocolHTTP]. Default: gRPC.
	Protocol string
	// Compression of requests: [CompressionGzip], [CompressionZstd], which not every
	// backend knows, or [CompressionNone]. Default: gzip.
	Compression string
	// Timeout limits one attempt at a request. Default: Times.GRPCOperationTimeout.
	Timeout time.Duration
	// ResourceAttributes are part of every resource, unless what is known of the host or
	// of the process has the same key.
	ResourceAttributes map[string]string
}

// Limitation is something that does not work on a host, or not fully.
type Limitation struct {
	// Name of what is limited, Effect on the profiles, and Fix: what to do about it, "" if nothing.
	Name, Effect, Fix string
}

const (
	defaultMaxRPCMsgSize  = 32 << 20
	defaultMaxQueueBytes  = 64 << 20
	defaultCacheEntries   = 1 << 16
	defaultStopTimeout    = 5 * time.Second
	defaultJitter         = 0.2
	authJitter            = 0.3
	maxHostID             = 128
	maxHostName           = 255
	minQueueBytes         = 1 << 16
	defaultSpoolBytes     = 512 << 20
	minSpoolBytes         = 1 << 16
	defaultCountsQueue    = 1 << 16
	defaultDefsQueue      = 1 << 14
	defaultSmallQueue     = 1 << 10
	defaultHostQueue      = 2
	defaultReportInterval = 5 * time.Second
)

// timers is Times, read once, with defaults.
type timers struct {
	report, metrics, connect, operation, startupBackoff, authDelay time.Duration
}

func newTimers(t Times) timers {
	d := timers{
		report: defaultReportInterval, metrics: time.Minute, connect: 3 * time.Second,
		operation: 5 * time.Second, startupBackoff: time.Minute, authDelay: 10 * time.Minute,
	}
	if t == nil {
		return d
	}
	set := func(dst *time.Duration, v time.Duration) {
		if v > 0 {
			*dst = v
		}
	}
	set(&d.report, t.ReportInterval())
	set(&d.metrics, t.ReportMetricsInterval())
	set(&d.connect, t.GRPCConnectionTimeout())
	set(&d.operation, t.GRPCOperationTimeout())
	set(&d.startupBackoff, t.GRPCStartupBackoffTime())
	set(&d.authDelay, t.GRPCAuthErrorDelay())
	return d
}

// settings is Config and Options with every default filled in.
type settings struct {
	Config
	Options
	timers timers
	// peer is the address for people: without what may be secret in a URL.
	peer string
	url  string // of OTLP over HTTP
}

func newSettings(c *Config, o *Options) (settings, error) {
	if c == nil {
		return settings{}, errors.New("reporter config is nil")
	}
	s := settings{Config: *c, timers: newTimers(c.Times), peer: c.CollAgentAddr}
	if o != nil {
		s.Options = *o
	}
	var errs []error
	if s.CollAgentAddr == "" {
		errs = append(errs, errors.New("address of the collection agent is empty"))
	}
	if s.MaxRPCMsgSize < 0 {
		errs = append(errs, fmt.Errorf("maximum message size %d is negative", s.MaxRPCMsgSize))
	}
	if s.StopTimeout < 0 {
		errs = append(errs, fmt.Errorf("stop timeout %s is negative", s.StopTimeout))
	}
	if s.Jitter > 1 {
		errs = append(errs, fmt.Errorf("jitter %g is above 1", s.Jitter))
	}
	if s.MaxQueueBytes != 0 && s.MaxQueueBytes < minQueueBytes {
		errs = append(errs, fmt.Errorf("queue limit of %d bytes is below %d", s.MaxQueueBytes, minQueueBytes))
	}
	if s.SpoolMaxBytes != 0 && s.SpoolMaxBytes < minSpoolBytes {
		errs = append(errs, fmt.Errorf("spool limit of %d bytes is below %d", s.SpoolMaxBytes, minSpoolBytes))
	}
	if s.TokenFile != "" {
		for key := range s.Headers {
			if strings.EqualFold(key, "authorization") {
				errs = append(errs, errors.New("there is an authorization header and a token file"))
			}
		}
	}
	setDefault(&s.SpoolMaxBytes, defaultSpoolBytes)
	setDefault(&s.MaxRPCMsgSize, defaultMaxRPCMsgSize)
	setDefault(&s.CountsForTracesMaxQueue, defaultCountsQueue)
	setDefault(&s.FramesForTracesMaxQueue, defaultDefsQueue)
	setDefault(&s.FrameMetadataMaxQueue, defaultDefsQueue)
	setDefault(&s.FallbackSymbolsMaxQueue, defaultDefsQueue)
	setDefault(&s.ExecMetadataMaxQueue, defaultSmallQueue)
	setDefault(&s.MetricsMaxQueue, defaultSmallQueue)
	setDefault(&s.HostMetadataMaxQueue, defaultHostQueue)
	setDefault(&s.DefinitionCacheEntries, defaultCacheEntries)
	setDefault(&s.MaxQueueBytes, defaultMaxQueueBytes)
	setDefault(&s.StopTimeout, defaultStopTimeout)
	setDefault(&s.Jitter, defaultJitter)
	s.Jitter = max(s.Jitter, 0)
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.HostName == "" {
		s.HostName, _ = os.Hostname() // a host without a name is one
	}
	if s.HostID == "" {
		s.HostID = machineID(s.HostName)
	}
	if err := checkHostID(s.HostID); err != nil {
		errs = append(errs, err)
	}
	if len(s.HostName) > maxHostName || !utf8.ValidString(s.HostName) {
		errs = append(errs, fmt.Errorf("host name %q is not text of at most %d bytes", s.HostName, maxHostName))
	}
	s.ResourceAttributes = maps.Clone(s.ResourceAttributes)
	if s.RunID == [16]byte{} {
		_, _ = rand.Read(s.RunID[:]) // never fails, see its documentation
	}
	return s, errors.Join(errs...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func checkHostID(id string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) }
	if id == "" || len(id) > maxHostID || !utf8.ValidString(id) || strings.ContainsFunc(id, bad) {
		return fmt.Errorf("host ID %q is not 1 to %d bytes of printable text", id, maxHostID)
	}
	return nil
}

// machineID is the host ID of a reporter that was given none.
func machineID(hostName string) string {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if data, err := os.ReadFile(path); err == nil { //nolint:gosec // one of two constants
			if id := strings.TrimSpace(string(data)); checkHostID(id) == nil {
				return id
			}
		}
	}
	return hostName
}

// credentials returns how connections of gRPC are protected, and the files that come
// into it, nil without TLS.
func (s *settings) credentials() (credentials.TransportCredentials, *tlsfiles.Files, error) {
	files, err := s.tlsFiles()
	if err != nil {
		return nil, nil, err
	}
	if files == nil {
		return tlsfiles.Plaintext(), nil, nil
	}
	return files.ClientCredentials(s.TLS), files, nil
}

// tlsFiles opens the files of TLS, nil without TLS.
func (s *settings) tlsFiles() (*tlsfiles.Files, error) {
	if s.DisableTLS {
		return nil, nil //nolint:nilnil // there are none
	}
	files, err := tlsfiles.Open(tlsfiles.Options{
		CertFile: s.CertFile, KeyFile: s.KeyFile, CAFile: s.CAFile,
		MetricsPrefix: "strobe_agent_reporter", Logger: s.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("TLS of the reporter: %w", err)
	}
	return files, nil
}
