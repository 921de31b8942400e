// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(victimVar); addr != "" {
		reportUntilKilled(addr, os.Getenv(victimDirVar))
	}
	goleak.VerifyTestMain(m)
}

// The documented API, pinned at compile time.
var (
	_ func(context.Context, *Config) (*GRPCReporter, error) = Start
	_ func(context.Context, *Config) (Reporter, error)      = StartOTLP
	_ Reporter                                              = (*GRPCReporter)(nil)
	_ Reporter                                              = (*OTLPReporter)(nil)
)

// describe lists the methods of an interface or the fields of a struct.
func describe[T any]() string {
	var b strings.Builder
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Interface {
		for m := range t.Methods() {
			fmt.Fprintf(&b, "%s %s\n", m.Name, m.Type)
		}
		return b.String()
	}
	for f := range t.Fields() {
		fmt.Fprintf(&b, "%s %s\n", f.Name, f.Type)
	}
	return b.String()
}

func TestDocumentedAPI(t *testing.T) {
	t.Parallel()
	const (
		traces = `ReportCountForTrace func(libpf.TraceHash, libpf.UnixTime32, uint16, string, string, string)
ReportFramesForTrace func(*libpf.Trace)
`
		symbols = `ExecutableMetadata func(context.Context, libpf.FileID, string, string)
FrameMetadata func(libpf.FileID, libpf.AddressOrLineno, libpf.SourceLineno, uint32, string, string)
ReportFallbackSymbol func(libpf.FrameID, string)
`
		hosts = `ReportHostMetadata func(map[string]string)
ReportHostMetadataBlocking func(context.Context, map[string]string, int, time.Duration) error
`
		metrics = "ReportMetrics func(uint32, []uint32, []int64)\n"
	)
	for name, tc := range map[string]struct{ got, want string }{
		"TraceReporter":        {describe[TraceReporter](), traces},
		"SymbolReporter":       {describe[SymbolReporter](), symbols},
		"HostMetadataReporter": {describe[HostMetadataReporter](), hosts},
		"MetricsReporter":      {describe[MetricsReporter](), metrics},
		"Reporter": {describe[Reporter](), `ExecutableMetadata func(context.Context, libpf.FileID, string, string)
FrameMetadata func(libpf.FileID, libpf.AddressOrLineno, libpf.SourceLineno, uint32, string, string)
GetMetrics func() reporter.Metrics
ReportCountForTrace func(libpf.TraceHash, libpf.UnixTime32, uint16, string, string, string)
ReportFallbackSymbol func(libpf.FrameID, string)
ReportFramesForTrace func(*libpf.Trace)
ReportHostMetadata func(map[string]string)
ReportHostMetadataBlocking func(context.Context, map[string]string, int, time.Duration) error
ReportMetrics func(uint32, []uint32, []int64)
Stop func()
`},
		"Times": {describe[Times](), `GRPCAuthErrorDelay func() time.Duration
GRPCConnectionTimeout func() time.Duration
GRPCOperationTimeout func() time.Duration
GRPCStartupBackoffTime func() time.Duration
ReportInterval func() time.Duration
ReportMetricsInterval func() time.Duration
`},
		"Config": {describe[Config](), `CollAgentAddr string
MaxRPCMsgSize int
ExecMetadataMaxQueue uint32
CountsForTracesMaxQueue uint32
MetricsMaxQueue uint32
FramesForTracesMaxQueue uint32
FrameMetadataMaxQueue uint32
HostMetadataMaxQueue uint32
FallbackSymbolsMaxQueue uint32
DisableTLS bool
MaxGRPCRetries uint32
Times reporter.Times
`},
		"Metrics": {describe[Metrics](), `CountsForTracesOverwriteCount uint32
ExeMetadataOverwriteCount uint32
FrameMetadataOverwriteCount uint32
FramesForTracesOverwriteCount uint32
HostMetadataOverwriteCount uint32
MetricsOverwriteCount uint32
FallbackSymbolsOverwriteCount uint32
RPCBytesOutCount int64
RPCBytesInCount int64
WireBytesOutCount int64
WireBytesInCount int64
`},
		"HostMetadata": {describe[HostMetadata](), "Metadata map[string]string\nTimestamp uint64\n"},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s differs from its documentation (-want +got):\n%s", name, diff)
		}
	}
}
