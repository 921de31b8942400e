// SPDX-License-Identifier: Apache-2.0

package tlsfiles_test

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/strobe-profiler/strobe/proto/tlsfiles"
	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
)

// TestRotationUnderLoad replaces the certificates of both ends and the authority of
// both several times, in the order that documentation asks for, while connections
// are made and RPCs go over one that stays. Nothing may fail.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	const generations, dialers = 3, 2
	dir := t.TempDir()
	pair := func(side string, ca *tlstest.Authority) {
		t.Helper()
		cert, key := ca.Issue(tlstest.Leaf{})
		tlstest.Write(t, dir, side+".pem", append(cert, key...))
	}
	authorities := func(side string, content []byte) { tlstest.Write(t, dir, side+"-ca.pem", content) }
	options := func(side string) tlsfiles.Options {
		file := filepath.Join(dir, side+".pem")
		return tlsfiles.Options{CertFile: file, KeyFile: file, CAFile: filepath.Join(dir, side+"-ca.pem"), CheckInterval: -1}
	}
	ca := tlstest.New(t, "generation 0")
	for _, side := range []string{"server", "client"} {
		pair(side, ca)
		authorities(side, ca.PEM)
	}
	server, client := open(t, options("server")), open(t, options("client"))
	serverCreds, err := server.ServerCredentials(true)
	if err != nil {
		t.Fatal(err)
	}
	address := serve(t, serverCreds)

	ctx, stop := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop()
	// rounds counts what each worker has finished; the last one keeps its connection.
	var rounds [dialers + 1]atomic.Int64
	loop := func(i int, rpc func() error) {
		for ctx.Err() == nil {
			if err := rpc(); err != nil && ctx.Err() == nil {
				t.Errorf("worker %d: %v", i, err)
				return
			}
			rounds[i].Add(1)
		}
	}
	for i := range dialers {
		workers.Go(func() { loop(i, func() error { return call(address, client.ClientCredentials(nil)) }) })
	}
	staying, err := grpc.NewClient(address, grpc.WithTransportCredentials(client.ClientCredentials(nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = staying.Close() }()
	workers.Go(func() {
		loop(dialers, func() error {
			_, err := healthpb.NewHealthClient(staying).Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		})
	})
	// settle waits until every worker has begun and ended a connection.
	settle := func() {
		t.Helper()
		for i := range rounds {
			for want := rounds[i].Load() + 2; rounds[i].Load() < want; time.Sleep(time.Millisecond) {
				if t.Failed() {
					t.FailNow()
				}
			}
		}
	}
	settle()
	first := ca
	for range generations {
		next := tlstest.New(t, "next generation")
		authorities("server", ca.Bundle(next))
		authorities("client", ca.Bundle(next))
		settle()
		pair("server", next)
		settle()
		pair("client", next)
		settle()
		authorities("server", next.PEM)
		authorities("client", next.PEM)
		settle()
		pair("server", next) // a renewal alone
		pair("client", next)
		settle()
		ca = next
	}
	stop()
	workers.Wait()
	for side, files := range map[string]*tlsfiles.Files{"server": server, "client": client} {
		m := metrics(t, files)
		for what, want := range map[string]float64{
			"reloads_total certificate changed": generations * 2, "reloads_total authorities changed": generations * 2,
			"reloads_total certificate failed": 0, "failed_handshakes_total": 0,
		} {
			if got := m["strobe_tls_"+what]; got != want {
				t.Errorf("%s: %s is %v, want %v", side, what, got, want)
			}
		}
	}
	cert, key := first.IssueFiles(tlstest.Leaf{})
	if call(address, open(t, tlsfiles.Options{CertFile: cert, KeyFile: key, CAFile: ca.File()}).ClientCredentials(nil)) == nil {
		t.Error("a certificate of the first authority still counts")
	}
}
