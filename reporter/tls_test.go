// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/strobe-profiler/strobe/proto/tlsfiles"
	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
)

// serverTLS returns the option of a server with the certificate in a file.
func serverTLS(t *testing.T, o tlsfiles.Options) grpc.ServerOption {
	t.Helper()
	files, err := tlsfiles.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := files.ServerCredentials(o.CAFile != "")
	if err != nil {
		t.Fatal(err)
	}
	return grpc.Creds(creds)
}

// TestTLSAdvice fails to connect in every way that has to do with TLS, and wants
// the status to say what a person can do.
func TestTLSAdvice(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.New(t, "ca"), tlstest.New(t, "other")
	cert := func(a *tlstest.Authority, l tlstest.Leaf) tlsfiles.Options {
		certFile, keyFile := a.IssueFiles(l)
		return tlsfiles.Options{CertFile: certFile, KeyFile: keyFile}
	}
	mutual := cert(ca, tlstest.Leaf{})
	mutual.CAFile = ca.File()
	expired := cert(ca, tlstest.Leaf{NotAfter: time.Now().Add(-time.Hour)})
	foreign := cert(other, tlstest.Leaf{})
	plain := tlsfiles.Options{}
	for name, tc := range map[string]struct {
		server tlsfiles.Options
		change func(c *Config, o *Options)
		want   string
	}{
		"unknown authority":   {cert(ca, tlstest.Leaf{}), func(*Config, *Options) {}, "-tls-ca"},
		"other authority":     {cert(other, tlstest.Leaf{}), func(_ *Config, o *Options) { o.CAFile = ca.File() }, "-tls-ca"},
		"other name":          {cert(ca, tlstest.Leaf{Names: []string{"a.example"}}), func(_ *Config, o *Options) { o.CAFile = ca.File() }, "-tls-server-name"},
		"server expired":      {expired, func(_ *Config, o *Options) { o.CAFile = ca.File() }, "renew it, or set the clock"},
		"server is plaintext": {plain, func(_ *Config, o *Options) { o.CAFile = ca.File() }, "-disable-tls"},
		"client is plaintext": {cert(ca, tlstest.Leaf{}), func(c *Config, _ *Options) { c.DisableTLS = true }, "perhaps it speaks TLS and this end does not"},
		"no certificate":      {mutual, func(_ *Config, o *Options) { o.CAFile = ca.File() }, "-tls-cert and -tls-key"},
		"foreign certificate": {mutual, func(_ *Config, o *Options) {
			o.CAFile, o.CertFile, o.KeyFile = ca.File(), foreign.CertFile, foreign.KeyFile
		}, foreign.CertFile},
		"own certificate expired": {mutual, func(_ *Config, o *Options) {
			o.CAFile, o.CertFile, o.KeyFile = ca.File(), expired.CertFile, expired.KeyFile
		}, "expired on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t)
			var opts []grpc.ServerOption
			if tc.server.CertFile != "" {
				opts = append(opts, serverTLS(t, tc.server))
			}
			r := startTest(t, s.serve(opts...), func(c *Config, o *Options) {
				c.DisableTLS, o.StopTimeout = false, 100*time.Millisecond
				tc.change(c, o)
			})
			r.ReportSample(sampleOf(nativeTrace(1, 2), 0))
			eventually(t, "an attempt fails", func() bool { return r.Status().LastError != "" })
			if got := r.Status().LastError; !strings.Contains(got, tc.want) {
				t.Errorf("error %q does not say %q", got, tc.want)
			}
			if st := r.Status(); st.Connected || st.State != StateDisconnected {
				t.Errorf("status %+v", st)
			}
			checkLedger(t, r)
		})
	}
}

// TestTLSRotation replaces the authority and both certificates while a reporter runs.
// Its connection stays, and the next one is made with the new ones.
func TestTLSRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair, bundle := filepath.Join(dir, "pair.pem"), filepath.Join(dir, "ca.pem")
	renew := func() {
		ca := tlstest.New(t, "ca")
		cert, key := ca.Issue(tlstest.Leaf{})
		tlstest.Write(t, dir, "ca.pem", ca.PEM)
		tlstest.Write(t, dir, "pair.pem", append(cert, key...))
	}
	renew()
	files := tlsfiles.Options{CertFile: pair, KeyFile: pair, CAFile: bundle, CheckInterval: -1}
	s := newFakeServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	srv := s.serveOn(l, serverTLS(t, files))
	registry := prometheus.NewRegistry()
	r := startTest(t, address, func(c *Config, o *Options) {
		c.DisableTLS = false
		o.CertFile, o.KeyFile, o.CAFile, o.Registerer = pair, pair, bundle, registry
	})
	r.ReportSample(sampleOf(nativeTrace(1, 2), 0))
	eventually(t, "the sample is stored", func() bool { return s.stored() == 1 })
	renew()
	r.ReportSample(sampleOf(nativeTrace(1, 2), 1))
	eventually(t, "the connection goes on", func() bool { return s.stored() == 2 })
	srv.Stop()
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	s.serveOn(l, serverTLS(t, files))
	r.ReportSample(sampleOf(nativeTrace(1, 2), 2))
	eventually(t, "the next connection is made", func() bool { return s.stored() == 3 })
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, family := range families {
		found = found || family.GetName() == "strobe_agent_reporter_tls_certificate_expiry_seconds"
	}
	if !found {
		t.Error("no metric says when the certificate expires")
	}
}
