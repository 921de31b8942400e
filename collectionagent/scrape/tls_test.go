// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
)

// secure starts a target with TLS.
func secure(t *testing.T, a *tlstest.Authority, leaf tlstest.Leaf, config *tls.Config, handler http.HandlerFunc) string {
	t.Helper()
	cert, key := a.Issue(leaf)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{pair}
	s := httptest.NewUnstartedServer(handler)
	s.TLS = config
	s.Config.ErrorLog = discardLog()
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "https://")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	good := profileBytes(t, "work 10 5")
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(good) }
	ours, theirs := tlstest.New(t, "ours"), tlstest.New(t, "theirs")
	cert, key := ours.IssueFiles(tlstest.Leaf{})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ours.PEM)
	mutual := &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	away := secure(t, ours, tlstest.Leaf{}, &tls.Config{}, answer)
	for name, c := range map[string]struct {
		address string
		config  string
		want    string // "": up
	}{
		"known":               {secure(t, ours, tlstest.Leaf{}, &tls.Config{}, answer), "ca_file: " + ours.File(), ""},
		"not known":           {secure(t, ours, tlstest.Leaf{}, &tls.Config{}, answer), "ca_file: " + theirs.File(), "unknown authority"},
		"not known, not seen": {secure(t, ours, tlstest.Leaf{}, &tls.Config{}, answer), "insecure_skip_verify: true", ""},
		"another name":        {secure(t, ours, tlstest.Leaf{Names: []string{"shop.example"}}, &tls.Config{}, answer), "ca_file: " + ours.File(), "certificate"},
		"the name is given":   {secure(t, ours, tlstest.Leaf{Names: []string{"shop.example"}}, &tls.Config{}, answer), "server_name: shop.example, ca_file: " + ours.File(), ""},
		"old TLS":             {secure(t, ours, tlstest.Leaf{}, &tls.Config{MaxVersion: tls.VersionTLS12}, answer), "ca_file: " + ours.File(), "protocol version"},
		"old TLS is allowed":  {secure(t, ours, tlstest.Leaf{}, &tls.Config{MaxVersion: tls.VersionTLS12}, answer), "min_version: TLS12, ca_file: " + ours.File(), ""},
		"client certificate":  {secure(t, ours, tlstest.Leaf{}, mutual.Clone(), answer), "cert_file: " + cert + ", key_file: " + key + ", ca_file: " + ours.File(), ""},
		"no certificate":      {secure(t, ours, tlstest.Leaf{}, mutual.Clone(), answer), "ca_file: " + ours.File(), "certificate required"},
		"not there any more": {
			secure(t, ours, tlstest.Leaf{}, &tls.Config{}, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://"+away+"/x", http.StatusFound)
			}), "cert_file: " + cert + ", key_file: " + key + ", ca_file: " + ours.File(), "which is not followed with cert_file",
		},
		"no TLS": {served(t, map[string]http.HandlerFunc{"/mine": answer}), "ca_file: " + ours.File(), "first record does not look like a TLS handshake"},
	} {
		r := newRig(t, jobFor(c.address, "", "scheme: https\n  tls_config: {"+c.config+"}"))
		got := r.once()[0]
		if c.want == "" && (got.State != Up || got.Error != "") || c.want != "" && (got.State != Down || !strings.Contains(got.Error, c.want)) {
			t.Errorf("%s: %s %q, want %q", name, got.State, got.Error, c.want)
		}
		reason := "tls"
		if strings.Contains(c.want, "not followed") {
			reason = "redirect"
		}
		if n := counter(r.scraper.metrics.scrapes.WithLabelValues("failed", reason)); c.want != "" && n != 1 {
			t.Errorf("%s: %q is not counted as %s", name, got.Error, reason)
		}
	}
}

// TestSilentTLS is a target that does not answer the handshake.
func TestSilentTLS(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := newRig(t, strings.Replace(jobFor(l.Addr().String(), "", "scheme: https"), "scrape_timeout: 1m", "scrape_timeout: 100ms", 1))
	if got := r.once()[0]; got.State != Down || !strings.Contains(got.Error, "did not answer in time") {
		t.Errorf("%+v", got)
	}
}
