// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/reporter"
	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

var record = flag.Bool("record", false, "make testdata/recorded anew, from programs that run now")

const (
	recordedData  = "testdata/recorded/data.tar.zst" // what a collection agent stored
	recordedRange = "testdata/recorded/range.json"   // when
)

// recordedTimes says when the recording was made, in ms since 1970: all of it, and where
// the second release of the shop takes over from the first.
type recordedTimes struct {
	From    int64 `json:"from_ms"`
	Release int64 `json:"release_ms"`
	To      int64 `json:"to_ms"`
}

// TestRecord makes the recording that the page's tests look at: the programs with known
// stacks in many languages, as services of a shop, under a server and an agent as they are.
// In the second half the shop has another release, in which more is done in C.
func TestRecord(t *testing.T) {
	if !*record {
		return // TestViews shows that what was recorded can be read
	}
	skip.UnlessRoot(t)
	data := t.TempDir()
	grpcAddress, httpAddress := program.FreeAddress(t), program.FreeAddress(t)
	s := startServer(t, data, grpcAddress, httpAddress)
	var times recordedTimes
	t.Run("1.0", func(t *testing.T) {
		times.From = recordRelease(t, s, grpcAddress, "1.0", map[string]string{
			"catalog": "cpp-shapes", "search": "rust-forge", "gateway": "go-plain", "cart": "py", "pricing": "java17",
			"frontend": "node", "mailer": "ruby", "workers": "c-threads", "thumbnails": "c-o3-stripped",
		})
	})
	t.Run("1.1", func(t *testing.T) {
		times.Release = recordRelease(t, s, grpcAddress, "1.1", map[string]string{
			"catalog": "cpp-shapes", "search": "rust-forge", "gateway": "go-cgo", "cart": "py-ctypes", "pricing": "java17",
			"frontend": "node", "mailer": "ruby", "workers": "c-threads", "thumbnails": "c-sysread",
		})
	})
	if t.Failed() {
		return
	}
	recordRequests(t, grpcAddress)
	times.To = time.Now().UnixMilli()
	s.Stop()
	compact := exec.Command(filepath.Join(bin, "collectionagent"), "compact", "-data-dir", data) //nolint:gosec // our own
	if out, err := compact.CombinedOutput(); err != nil {
		t.Fatalf("compact: %v\n%s", err, out)
	}
	if err := pack(data, recordedData); err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(times, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recordedRange, append(b, '\n'), 0o644); err != nil { //nolint:gosec // not secret
		t.Fatal(err)
	}
}

// recordRelease runs a release of the shop, a program for each of its services, for a while, and
// returns when that began.
func recordRelease(t *testing.T, s *server, grpcAddress, version string, services map[string]string) (from int64) {
	t.Helper()
	var pids []string
	for service, subject := range services {
		t.Setenv("OTEL_SERVICE_NAME", service)
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version="+version)
		pids = append(pids, strconv.Itoa(tracertest.Start(t, subject, 120)))
	}
	agentHTTP := program.FreeAddress(t)
	before, from := s.samples(t.Context(), ""), time.Now().UnixMilli()
	agent := startService(t, "agent", "-collection-agent", grpcAddress, "-http-address", agentHTTP, "-samples-per-second", "97",
		"-reporter-interval", "1s", "-host-name", "shop-1", "-host-id", "1001", "-include-pid", strings.Join(pids, ","))
	const enough = 2500
	eventually(t, "samples of "+version, func(ctx context.Context) bool { return s.samples(ctx, "") > before+enough })
	agent.Stop()
	return from
}

// recordRequests adds what no agent takes by itself yet: time that requests waited, as spans,
// and events of the host.
func recordRequests(t *testing.T, grpcAddress string) {
	t.Helper()
	o := &reporter.Options{HostID: "1002", HostName: "shop-2", AgentVersion: "v1", StopTimeout: 30 * time.Second}
	r, err := reporter.StartWithOptions(context.WithoutCancel(t.Context()), config(grpcAddress), o)
	if err != nil {
		t.Fatal(err)
	}
	m := &maker{now: libpf.UnixTimeNs(time.Now().Add(-20 * time.Second).UnixNano())}
	file := libpf.Executable{FileID: libpf.NewFileID(0x5110, 1), FileName: "checkout", BuildID: "5d41402abc4b2a76b9719d911017c592"}
	frame := func(address uint64, name string, line int) libpf.Frame {
		return libpf.Frame{Type: libpf.NativeFrame, FileID: file.FileID, AddressOrLineno: libpf.AddressOrLineno(address), Lines: []libpf.SourceLine{{
			Function: name, File: "/src/checkout/" + name + ".cc", Line: libpf.SourceLineno(line), StartLine: libpf.SourceLineno(line - 5), //nolint:gosec // small
		}}}
	}
	serve, begin := frame(0x100, "serve", 40), frame(0x200, "main", 12)
	wait := libpf.NewTrace([]libpf.Frame{frame(0x300, "wait_for_stock", 77), frame(0x400, "reserve", 31), serve, begin})
	pay := libpf.NewTrace([]libpf.Frame{frame(0x500, "sign", 210), frame(0x600, "pay", 55), serve, begin})
	oom := libpf.NewTrace([]libpf.Frame{frame(0x700, "out_of_memory", 9), frame(0x800, "load_catalog", 120), begin})
	p := &libpf.Process{PID: 4242, StartTime: 77, Name: "checkout", Executable: "/app/checkout", ContainerName: "checkout", Namespace: "shop", PodName: "checkout-7d9", Service: "checkout"}
	for i := range 60 {
		m.now += libpf.UnixTimeNs(150 * time.Millisecond)
		m.link(m.add(libpf.SampleOffCPU, 1, int64(1+i%7)*3_000_000, wait, p, i%4), byte(i))
		m.link(m.add(libpf.SampleOnCPU, 1, 10_309_278, pay, p, i%4), byte(i))
	}
	for i := range 6 {
		m.now += libpf.UnixTimeNs(time.Second)
		m.add(libpf.SampleEvent, 1, 1, oom, p, i%2).Labels = []libpf.Label{{Key: "event", Value: "oom_kill"}}
	}
	r.ReportExecutable(&file)
	for _, s := range m.samples {
		r.ReportSample(s)
	}
	r.Stop()
	if l := r.Status().Ledger; l.Stored != l.Captured {
		t.Fatalf("of %d samples of requests %d were stored", l.Captured, l.Stored)
	}
}

// startRecorded starts a server with what was recorded, for as long as the test runs.
func startRecorded(t *testing.T) (recordedTimes, *server) {
	t.Helper()
	b, err := os.ReadFile(recordedRange)
	if err != nil {
		t.Fatal(err)
	}
	var times recordedTimes
	if err := json.Unmarshal(b, &times); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	if err := unpack(recordedData, data); err != nil {
		t.Fatal(err)
	}
	return times, startServer(t, data, program.FreeAddress(t), program.FreeAddress(t), "-retention", "0", "-retention-minutes", "0", "-retention-hours", "0")
}

// TestViews drives every view of the page in a browser, on recorded samples.
func TestViews(t *testing.T) {
	times, s := startRecorded(t)
	scripts, err := filepath.Glob("../../collectionagent/web/ui/e2e/views/*.mjs")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no tests of views: %v", err)
	}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".mjs"), func(t *testing.T) {
			browse(t, "views/"+filepath.Base(path), s.http, fmt.Sprintf("STROBE_FROM=%d", times.From), fmt.Sprintf("STROBE_TO=%d", times.To),
				fmt.Sprintf("STROBE_RELEASE=%d", times.Release))
		})
	}
}

// pack writes the files of a folder into a compressed archive.
func pack(dir, path string) (err error) {
	f, err := os.Create(path) //nolint:gosec // our own
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	return errors.Join(w.Close(), z.Close())
}

// unpack writes the files of an archive into a folder.
func unpack(path, dir string) error {
	f, err := os.Open(path) //nolint:gosec // our own
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	z, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer z.Close()
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.FileInfo().IsDir() {
			if err := os.MkdirAll(name, 0o750); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, b, fs.FileMode(h.Mode)&0o777); err != nil { //nolint:gosec // bits of a file
			return err
		}
	}
}
