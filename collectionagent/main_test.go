// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

// binary is the path of the program under test.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv("STROBE_TEST_HOSTILE_DIR") != "" { // a child that needs no program
		os.Exit(m.Run())
	}
	if server := os.Getenv(pyroscopeURL); server != "" { // a program that is profiled
		os.Exit(pyroscopeProgram(server))
	}
	dir, err := os.MkdirTemp("", "collectionagent")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "collectionagent")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build collectionagent:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// process is a running server.
type process struct {
	t          *testing.T
	cmd        *exec.Cmd
	http, grpc string // addresses
	scheme     string
	client     *http.Client
	ended      chan struct{} // closed when the process has, with exit
	exit       error
	log        *lockedBuffer
}

// lockedBuffer is a buffer that the program's log is copied to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var readyLine = regexp.MustCompile(`^Strobe collection agent is ready: open (https?)://([^/]+)/ \(agents send to (\S+), data in (.*)\)$`)

// start starts the program on free ports and waits for its line.
func start(t *testing.T, dataDir string, args ...string) *process {
	t.Helper()
	p := &process{
		t: t, client: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{}},
		ended: make(chan struct{}), log: &lockedBuffer{},
	}
	p.cmd = exec.Command(binary, append([]string{
		"-data-dir", dataDir, "-http-address", "127.0.0.1:0", "-grpc-address", "127.0.0.1:0", "-min-free-bytes", "1MiB",
	}, args...)...)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{}) // to wait for the process closes what it says
	go func() {
		<-heard
		p.exit = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended // or it may make a file in its directory while that is removed
		if t.Failed() {
			t.Logf("log of the program:\n%s", p.log)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	close(heard)
	if err != nil {
		t.Fatalf("program says nothing: %v\n%s", err, p.log)
	}
	m := readyLine.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		t.Fatalf("unexpected line %q", line)
	}
	p.scheme, p.http, p.grpc = m[1], m[2], m[3]
	if m[4] != dataDir {
		t.Errorf("line names data directory %q", m[4])
	}
	return p
}

// get returns status and body of a page.
func (p *process) get(path string) (int, string) {
	p.t.Helper()
	resp, err := p.client.Get(p.scheme + "://" + p.http + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// wait waits for the end of the process.
func (p *process) wait() error {
	p.t.Helper()
	p.client.CloseIdleConnections()
	select {
	case <-p.ended:
		return p.exit
	case <-time.After(2 * time.Minute):
		p.t.Fatal("program does not end")
		return nil
	}
}

// agent returns a client like that of the agent.
func (p *process) agent(creds credentials.TransportCredentials) pb.CollectionAgentClient {
	p.t.Helper()
	conn, err := grpc.NewClient(p.grpc, grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(zstdgrpc.Name)))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return pb.NewCollectionAgentClient(conn)
}

// counts returns a batch of n samples of one stack, and the stack's definition.
func counts(seq uint64, n int) (*pb.AddCountsForTracesRequest, *pb.SetFramesForTracesRequest) {
	frames := []libpf.Frame{
		{Type: libpf.PythonFrame, FileID: libpf.NewFileID(1, 2), AddressOrLineno: 3, FunctionName: "leaf_fn", SourceFile: "a.py"},
		{Type: libpf.PythonFrame, FileID: libpf.NewFileID(1, 2), AddressOrLineno: 4, FunctionName: "root_fn", SourceFile: "a.py"},
	}
	h := libpf.HashTrace(frames)
	batch := &pb.Batch{HostId: "h1", RunId: []byte("0123456789abcdef"), Sequence: seq, HostName: "alpha"}
	r := &pb.AddCountsForTracesRequest{
		Batch: batch, StringTable: []string{"", "svc", "main"},
		HiTraceHashes: []uint64{h.Hi()}, LoTraceHashes: []uint64{h.Lo()},
		Processes:  []*pb.Process{{Pid: 1, Name: 1, Service: 1}},
		ThreadTids: []uint32{1}, ThreadComms: []uint32{2}, SourceProcesses: []uint32{0}, SourceThreads: []uint32{0},
		BaseTime: time.Now().UnixNano(), DefaultValue: 50_000_000, DefaultType: uint32(libpf.SampleOnCPU),
	}
	for range n {
		r.TimeDeltas = append(r.TimeDeltas, 1000)
		r.Stacks = append(r.Stacks, 0)
		r.Sources = append(r.Sources, 0)
	}
	return r, &pb.SetFramesForTracesRequest{
		Batch: batch, StringTable: []string{"", "leaf_fn", "root_fn", "a.py"},
		HiFileIds: []uint64{1}, LoFileIds: []uint64{2}, FrameTypes: []uint32{1, 1}, FrameFiles: []uint32{0, 0},
		FrameAddresses: []uint64{3, 4}, FrameFunctions: []uint32{1, 2}, FrameSourceFiles: []uint32{3, 3},
		HiTraceHashes: []uint64{h.Hi()}, LoTraceHashes: []uint64{h.Lo()}, FrameCounts: []uint32{2}, Frames: []uint32{0, 1},
	}
}

// push sends one batch of samples and its stack.
func push(t *testing.T, c pb.CollectionAgentClient, seq uint64, n int) (duplicate bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	samples, stacks := counts(seq, n)
	if _, err := c.SetFramesForTraces(ctx, stacks); err != nil {
		t.Fatal(err)
	}
	r, err := c.AddCountsForTraces(ctx, samples)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.UnknownStacks) != 0 {
		t.Errorf("server does not know a stack that it acknowledged")
	}
	return r.Ack.Duplicate
}

// checkFolded asks for the stacks and compares their count.
func (p *process) checkFolded(want string) {
	p.t.Helper()
	status, body := p.get("/api/v1/folded?type=on_cpu&from=now-1h&to=now%2B1h")
	if status != http.StatusOK || !strings.Contains(body, want) {
		p.t.Errorf("folded: %d %q, want %q", status, body, want)
	}
}

// TestLife pushes, reads, drains, kills and restarts.
func TestLife(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	for path, want := range map[string]string{"/-/healthy": "healthy\n", "/healthz": "healthy\n", "/-/ready": "ready\n", "/ready": "ready\n"} {
		if status, body := p.get(path); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	if status, _ := p.get("/debug/pprof/cmdline"); status != http.StatusOK {
		t.Errorf("/debug/pprof/cmdline on loopback: %d", status)
	}
	if status, body := p.get("/"); status != http.StatusOK || !strings.Contains(strings.ToLower(body), "<!doctype html>") {
		t.Errorf("page: %d %.100q", status, body)
	}
	c := p.agent(insecure.NewCredentials())
	push(t, c, 1, 100)
	if !push(t, c, 1, 100) {
		t.Error("repeated batch is not a duplicate")
	}
	_, metrics := p.get("/metrics")
	for _, want := range []string{
		"strobe_collectionagent_build_info{", "strobe_collectionagent_ingest_samples_total 100",
		`strobe_collectionagent_ingest_batches_total{result="duplicate",type="samples"} 1`,
		"strobe_collectionagent_store_head_rows 100", "go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	p.checkFolded("root_fn;leaf_fn 100\n")

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Fatalf("after SIGTERM: %v", err)
	}
	if blocks, _ := filepath.Glob(filepath.Join(dir, "blocks", "*.parquet")); len(blocks) != 1 {
		t.Errorf("head was not written: blocks %v", blocks)
	}

	p = start(t, dir)
	c = p.agent(insecure.NewCredentials())
	p.checkFolded("root_fn;leaf_fn 100\n")
	if push(t, c, 2, 50) || !push(t, c, 1, 100) {
		t.Error("batches are not told apart after a restart")
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.wait() // was killed

	p = start(t, dir)
	p.checkFolded("root_fn;leaf_fn 150\n")
	if !push(t, p.agent(insecure.NewCredentials()), 2, 50) {
		t.Error("batch is not known after kill -9")
	}
}

// TestSecondSignal keeps a request open, so that the first signal has something
// to wait for.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	go func() {
		if resp, err := p.client.Get("http://" + p.http + "/debug/pprof/profile?seconds=60"); err == nil {
			_ = resp.Body.Close() // cut off by the end of the process
		}
	}()
	p.until("request is being worked on", func() bool {
		_, goroutines := p.get("/debug/pprof/goroutine?debug=2")
		return strings.Contains(goroutines, "pprof.Profile(")
	})
	for range 2 {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.until("signal is noticed", func() bool { return strings.Contains(p.log.String(), "draining") })
	}
	err := p.wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit status %d (%v), want 1", code, err)
	}
}

// until waits for something that the process brings about.
func (p *process) until(what string, f func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestSecondProcess starts two programs on one directory.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, dir)
	out, err := exec.Command(binary, "-data-dir", dir, "-http-address", "127.0.0.1:0", "-grpc-address", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another process") {
		t.Errorf("second program: %v\n%s", err, out)
	}
}

// TestSlowRequest sends a form that nobody needs a token for, and not all of it.
func TestSlowRequest(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "-request-timeout", "1s")
	conn, err := net.DialTimeout("tcp", p.http, 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const part = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ntoken="
	if _, err := io.WriteString(conn, part); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("%v, %.200q", err, answer)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	f := func(exit int, want string, args ...string) {
		t.Helper()
		cmd := exec.Command(binary, args...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != exit || !strings.Contains(string(out), want) {
			t.Errorf("%v: exit %d, want %d; output %q, want %q", args, got, exit, out, want)
		}
	}
	f(0, "collectionagent unknown (commit ", "-version")
	f(0, "Usage: collectionagent", "--help")
	f(0, "configuration is right", "-check-config")
	f(0, "data-dir: ./x", "-print-config", "--data-dir=./x")
	f(1, "-tls-client-ca: needs TLS", "-tls-client-ca", "ca.pem")
	f(1, "-tls-cert: /no/cert: no such file", "-check-config", "-tls-cert", "/no/cert", "-tls-key", "/no/key")
	tokens := filepath.Join(t.TempDir(), "auth.json")
	f(0, "configuration is right", "-check-config", "-auth-file", tokens) // no tokens yet
	if err := os.WriteFile(tokens, []byte(`{"version":1,"tokens":[{}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f(1, tokens+": tokens[0].id: expected", "-check-config", "-auth-file", tokens)
	f(0, "configuration is right", "-check-config", "-auth-file", tokens, "-auth", "off")
	f(1, "no such file", "-config", "/does/not/exist")
	f(1, "read certificate", "-tls-cert", "/no/cert", "-tls-key", "/no/key", "-http-address", "127.0.0.1:0", "-grpc-address", "127.0.0.1:0")
	f(2, "flag provided but not defined", "-nope")
	f(2, `unexpected argument "serve"`, "serve")
}

// certificate writes a certificate that is its own authority and returns the
// paths of both parts and the pair.
func certificate(t *testing.T) (certPath, keyPath string, pair tls.Certificate, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "strobe test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	dir := t.TempDir()
	certPath, keyPath = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(certPath, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyPath, keyPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certPath, keyPath, pair, pool
}

// TestTLS serves with TLS and asks clients for a certificate.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key, pair, pool := certificate(t)
	p := start(t, t.TempDir(), "-tls-cert", cert, "-tls-key", key, "-tls-client-ca", cert)
	if p.scheme != "https" {
		t.Fatalf("scheme is %s", p.scheme)
	}
	with := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
	p.client.Transport = &http.Transport{TLSClientConfig: with.Clone()}
	if status, _ := p.get("/-/ready"); status != http.StatusOK {
		t.Errorf("/-/ready over TLS: %d", status)
	}
	push(t, p.agent(credentials.NewTLS(with.Clone())), 1, 10)
	without := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	if resp, err := without.Get("https://" + p.http + "/-/ready"); err == nil {
		_ = resp.Body.Close()
		t.Error("a client without certificate is let in")
	}
}
