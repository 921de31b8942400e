// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// TestMaxConnections opens one connection more than there may be.
func TestMaxConnections(t *testing.T) {
	s := newTestServer(t, Config{MaxConnections: 2})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = s.Limit(l)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dialTCP := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	dialTCP()
	first := <-accepted
	dialTCP()
	second := <-accepted
	if _, err := dialTCP().Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is open")
	}
	_ = first.Close()
	_ = first.Close() // counts once
	dialTCP()
	third := <-accepted
	if _, err := dialTCP().Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is open")
	}
	_ = second.Close()
	_ = third.Close()
	_ = l.Close()
	<-accepted
	if n := counterValue(t, s.metrics.cutOff); n != 2 {
		t.Errorf("%v connections were cut off", n)
	}
}

// envConnections makes the test binary a server of connections for BenchmarkIdleConnections.
const envConnections = "STROBE_TEST_CONNECTIONS"

// serveConnections serves on a free port, prints it, and then prints the memory
// in use each time it is asked to.
func serveConnections() {
	s, err := New(Config{Store: discard{memstore.New()}})
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server, _ := s.NewGRPCServer()
	go func() { _ = server.Serve(s.Limit(l)) }()
	_, _ = os.Stdout.WriteString(l.Addr().String() + "\n")
	for b := make([]byte, 1); ; {
		if _, err := os.Stdin.Read(b); err != nil {
			return
		}
		runtime.GC()
		debug.FreeOSMemory()
		status, _ := os.ReadFile("/proc/self/status")
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		_, _ = os.Stdout.WriteString(strings.Fields(rest)[0] + "\n")
	}
}

// BenchmarkIdleConnections measures what a connection that has sent a request costs a server.
func BenchmarkIdleConnections(b *testing.B) {
	const n = 1000
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envConnections+"=1")
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		b.Fatal("cannot start the server")
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	line := func() string {
		var l []byte
		for c := make([]byte, 1); ; l = append(l, c[0]) {
			if _, err := out.Read(c); err != nil || c[0] == '\n' {
				return string(l)
			}
		}
	}
	memory := func() float64 {
		_, _ = in.Write([]byte{'\n'})
		kib, _ := strconv.ParseFloat(line(), 64)
		return kib
	}
	address := line()
	before := memory()
	for i := range n {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithReadBufferSize(0))
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		r := testCounts(uint64(i + 1))
		r.BaseTime = time.Now().UnixNano()
		_, err = pb.NewCollectionAgentClient(conn).AddCountsForTraces(ctx, r)
		cancel()
		if err != nil || conn.GetState() != connectivity.Ready {
			b.Fatal(err)
		}
	}
	after := memory()
	b.ReportMetric((after-before)/n, "KiB/connection")
	b.ReportMetric(0, "ns/op")
}
