// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
)

// A server that goes away and comes back gets what was kept for it.
func TestOTLPServerRestarts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &otlpServer{t: t}
	srv := s.serveHTTPOn(l, nil)
	r := startOTLPTest(t, l.Addr().String(), func(_ *Config, o *Options) { o.Protocol = ProtocolHTTP })
	if st := r.Status(); st.State != StateStarting {
		t.Errorf("state %v before anything was sent", st.State)
	}
	reportOTLP(r, 0, 50)
	eventually(t, "it is stored", func() bool { return r.Status().Ledger.Stored == 50 })
	_ = srv.Close()
	reportOTLP(r, 50, 100)
	eventually(t, "an attempt to connect failed", func() bool {
		st := r.Status()
		return st.State == StateDisconnected && strings.Contains(st.LastError, "connection refused")
	})
	checkLedger(t, r)
	if l, err = net.Listen("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	s.serveHTTPOn(l, nil)
	eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == 100 && r.Status().Connected })
	r.Stop()
	checkTimes(t, s, 0, 100)
}

func TestOTLPTLS(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t, "ca")
	other := tlstest.New(t, "other")
	certPEM, keyPEM := ca.Issue(tlstest.Leaf{})
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	clientCert, clientKey := ca.IssueFiles(tlstest.Leaf{})
	foreignCert, foreignKey := other.IssueFiles(tlstest.Leaf{})
	for name, tc := range map[string]struct {
		mutual bool
		change func(o *Options)
		want   string // of the error, "" for none
	}{
		"server alone":        {false, func(o *Options) { o.CAFile = ca.File() }, ""},
		"mutual":              {true, func(o *Options) { o.CAFile, o.CertFile, o.KeyFile = ca.File(), clientCert, clientKey }, ""},
		"unknown authority":   {false, func(*Options) {}, "-tls-ca"},
		"no certificate":      {true, func(o *Options) { o.CAFile = ca.File() }, "-tls-cert and -tls-key"},
		"foreign certificate": {true, func(o *Options) { o.CAFile, o.CertFile, o.KeyFile = ca.File(), foreignCert, foreignKey }, foreignCert},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
			if tc.mutual {
				config.ClientAuth = tls.RequireAndVerifyClientCert
				config.ClientCAs = x509.NewCertPool()
				config.ClientCAs.AppendCertsFromPEM(ca.PEM)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &otlpServer{t: t}
			s.serveHTTPOn(l, config)
			r := startOTLPTest(t, "https://"+l.Addr().String(), func(_ *Config, o *Options) {
				o.Protocol, o.StopTimeout = ProtocolHTTP, 100*time.Millisecond
				tc.change(o)
			})
			reportOTLP(r, 0, 10)
			if tc.want == "" {
				eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == 10 })
				return
			}
			eventually(t, "an attempt fails", func() bool { return strings.Contains(r.Status().LastError, tc.want) })
			if st := r.Status(); st.State != StateDisconnected || st.Ledger.Queued != 10 {
				t.Errorf("status %+v", st)
			}
		})
	}
}

// A flush at the end takes StopTimeout at most, whatever the server does.
func TestOTLPStop(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := &otlpServer{t: t, httpFault: func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
		return true
	}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	times := fastTimes()
	times.report = time.Minute
	r, err := StartOTLPWithOptions(ctx, &Config{CollAgentAddr: s.serveHTTP(), Times: times},
		&Options{HostID: "h", Protocol: ProtocolHTTP, StopTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	reportOTLP(r, 0, 10)
	cancel() // has the effect of Stop, without the wait
	r.Stop()
	r.Stop()
	close(release)
	reportOTLP(r, 10, 11)
	if l := checkLedger(t, r); l.Dropped[reasonShutdown] != 10 || l.Dropped[reasonClosed] != 1 || l.Queued != 0 {
		t.Errorf("ledger %+v", l)
	}
	if st := r.Status(); st.State != StateStopped {
		t.Errorf("status %+v", st)
	}
}

// A token from a file travels over HTTP as well, and another one is tried at once.
func TestOTLPToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first-secret")
	s := &otlpServer{t: t, httpFault: func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer other-secret" {
			return false
		}
		answerHTTP(w, http.StatusUnauthorized, "who are you?")
		return true
	}}
	var logs bytes.Buffer
	r := startOTLPTest(t, s.serveHTTP(), func(c *Config, o *Options) {
		times := fastTimes()
		times.auth, times.operation = time.Hour, time.Minute
		c.Times = times
		o.Protocol, o.TokenFile, o.Logger = ProtocolHTTP, path, textLog(&logs)
	})
	reportOTLP(r, 0, 10)
	eventually(t, "it is refused", func() bool { return r.Status().State == StateRefused })
	if text := r.Status().LastError; !strings.Contains(text, adviceToken) || !strings.Contains(text, "who are you?") {
		t.Errorf("error %q", text)
	}
	write("other-secret")
	eventually(t, "everything is stored", func() bool { return r.Status().Ledger.Stored == 10 })
	r.Stop()
	if text := logs.String() + r.Status().LastError; strings.Contains(text, "secret") {
		t.Errorf("a token is told: %s", text)
	}
}
