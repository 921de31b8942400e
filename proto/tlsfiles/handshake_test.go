// SPDX-License-Identifier: Apache-2.0

package tlsfiles_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/strobe-profiler/strobe/proto/tlsfiles"
	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, o tlsfiles.Options) *tlsfiles.Files {
	t.Helper()
	f, err := tlsfiles.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// serve serves gRPC on loopback until the test ends and returns the address.
func serve(t *testing.T, creds credentials.TransportCredentials) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(creds))
	healthpb.RegisterHealthServer(s, health.NewServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends with Stop
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return l.Addr().String()
}

// call makes a connection and one RPC on it.
func call(target string, creds credentials.TransportCredentials) error {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// TestHandshakes makes real handshakes, and wants each refusal to say what to do.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.New(t, "good"), tlstest.New(t, "other")
	hour := time.Hour
	now := time.Now()
	expired := tlstest.Leaf{NotAfter: now.Add(-hour)}
	early := tlstest.Leaf{NotBefore: now.Add(hour), NotAfter: now.Add(2 * hour)}
	intermediate := ca.Intermediate("intermediate")
	chained := func(whole bool) (string, string) {
		cert, key := intermediate.Issue(tlstest.Leaf{})
		if whole {
			cert = append(cert, intermediate.PEM...)
		}
		dir := t.TempDir()
		return tlstest.Write(t, dir, "cert.pem", cert), tlstest.Write(t, dir, "key.pem", key)
	}
	// end makes the options of one end out of a certificate and authorities.
	end := func(certFile, keyFile string, authorities ...*tlstest.Authority) tlsfiles.Options {
		o := tlsfiles.Options{CertFile: certFile, KeyFile: keyFile}
		if len(authorities) > 0 {
			o.CAFile = authorities[0].File(authorities[1:]...)
		}
		return o
	}
	with := func(a *tlstest.Authority, l tlstest.Leaf, authorities ...*tlstest.Authority) tlsfiles.Options {
		cert, key := a.IssueFiles(l)
		return end(cert, key, authorities...)
	}
	wholeCert, wholeKey := chained(true)
	partCert, partKey := chained(false)
	clientOnly := tlstest.Leaf{Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	serverOnly := tlstest.Leaf{Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	good := tlstest.Leaf{}
	elsewhere := tlstest.Leaf{Names: []string{"profiles.example", "10.9.8.7"}}

	for name, tc := range map[string]struct {
		server, client tlsfiles.Options // with authorities, the server asks for a certificate
		base           *tls.Config
		want           []string // nothing: it works
	}{
		"good":                              {server: with(ca, good), client: end("", "", ca)},
		"good on both sides":                {server: with(ca, good, ca), client: with(ca, good, ca)},
		"two authorities":                   {server: with(other, good, ca, other), client: with(ca, good, ca, other)},
		"whole chain":                       {server: end(wholeCert, wholeKey, ca), client: end(wholeCert, wholeKey, ca)},
		"client shows one to who asks not":  {server: with(ca, good), client: with(other, good, ca)},
		"name of the certificate":           {server: with(ca, elsewhere), client: end("", "", ca), base: &tls.Config{ServerName: "profiles.example"}},
		"address of the certificate":        {server: with(ca, elsewhere), client: end("", "", ca), base: &tls.Config{ServerName: "10.9.8.7"}},
		"server: wrong authority":           {server: with(other, good), client: end("", "", ca), want: []string{"not from an authority in", "ca.pem", "-tls-ca"}},
		"server: unknown to the system":     {server: with(ca, good), client: end("", ""), want: []string{"authority that this machine does not know", "-tls-ca"}},
		"server: its name is not enough":    {server: with(tlstest.New(t, "good"), good), client: end("", "", ca), want: []string{"not from an authority in"}},
		"server: expired":                   {server: with(ca, expired), client: end("", "", ca), want: []string{"is valid from", "clock here says", "renew it"}},
		"server: not yet valid":             {server: with(ca, early), client: end("", "", ca), want: []string{"is valid from", "set the clock"}},
		"server: other name":                {server: with(ca, elsewhere), client: end("", "", ca), want: []string{"not for 127.0.0.1 but for profiles.example, 10.9.8.7", "-tls-server-name"}},
		"server: other name than asked for": {server: with(ca, good), client: end("", "", ca), base: &tls.Config{ServerName: "x.example"}, want: []string{"not for x.example but for localhost"}},
		"server: no name":                   {server: with(ca, tlstest.Leaf{Names: []string{}}), client: end("", "", ca), want: []string{"has no name at all"}},
		"server: no intermediate":           {server: end(partCert, partKey), client: end("", "", ca), want: []string{"intermediate certificates"}},
		"server: certificate of a client":   {server: with(ca, clientOnly), client: end("", "", ca), want: []string{"not fit for a server"}},
		"client: none":                      {server: with(ca, good, ca), client: end("", "", ca), want: []string{"wants a certificate of this client", "-tls-cert"}},
		"client: wrong authority":           {server: with(ca, good, ca), client: with(other, good, ca), want: []string{"does not know the authority of the certificate in", "cert.pem", "-tls-client-ca"}},
		"client: expired":                   {server: with(ca, good, ca), client: with(ca, expired, ca), want: []string{"does not accept the certificate in", "expired on", "renew it"}},
		"client: not yet valid":             {server: with(ca, good, ca), client: with(ca, early, ca), want: []string{"does not accept the certificate in", "is not valid before"}},
		"client: no intermediate":           {server: with(ca, good, ca), client: end(partCert, partKey, ca), want: []string{"does not know the authority of"}},
		"client: certificate of a server":   {server: with(ca, good, ca), client: with(ca, serverOnly, ca), want: []string{"does not accept the certificate in"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			creds, err := open(t, tc.server).ServerCredentials(tc.server.CAFile != "")
			if err != nil {
				t.Fatal(err)
			}
			err = call(serve(t, creds), open(t, tc.client).ClientCredentials(tc.base))
			if len(tc.want) == 0 && err != nil {
				t.Errorf("error %v, want none", err)
			}
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}

// TestOtherServers meets servers that do not speak what is expected.
func TestOtherServers(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t, "ca")
	cert, key := ca.IssueFiles(tlstest.Leaf{})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	client := open(t, tlsfiles.Options{CAFile: ca.File()}).ClientCredentials(nil)
	old := serve(t, credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}))
	encrypted := serve(t, credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	plain := serve(t, insecure.NewCredentials())
	page := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(page.Close)
	securePage := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(securePage.Close)
	f := func(address string, creds credentials.TransportCredentials, want string) {
		t.Helper()
		if err := call(address, creds); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	f(old, client, "speaks no TLS 1.3")
	f(plain, client, "does not speak TLS: turn TLS on there, or give -disable-tls")
	f(page.Listener.Addr().String(), client, "speaks HTTP without TLS: is this the address for agents?")
	f(encrypted, tlsfiles.Plaintext(), "perhaps it speaks TLS and this end does not")
	f(page.Listener.Addr().String(), tlsfiles.Plaintext(), "speaks HTTP/1: is this the address for agents?")
	if err := call(plain, tlsfiles.Plaintext()); err != nil {
		t.Errorf("plaintext: %v", err)
	}
	if err := call(encrypted, client); err != nil {
		t.Errorf("TLS: %v", err)
	}
}

// TestOldClient meets clients that are too old, on both kinds of server.
func TestOldClient(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t, "ca")
	cert, key := ca.IssueFiles(tlstest.Leaf{})
	files := open(t, tlsfiles.Options{CertFile: cert, KeyFile: key})
	creds, err := files.ServerCredentials(false)
	if err != nil {
		t.Fatal(err)
	}
	config, err := files.ServerConfig(false, "h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	page := httptest.NewUnstartedServer(http.NotFoundHandler())
	page.TLS, page.EnableHTTP2 = config, true
	page.StartTLS()
	t.Cleanup(page.Close)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	for _, address := range []string{serve(t, creds), page.Listener.Addr().String()} {
		for version, works := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: false, tls.VersionTLS13: true} {
			conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: version, NextProtos: []string{"h2"}})
			if err == nil {
				if proto := conn.ConnectionState().NegotiatedProtocol; proto != "h2" {
					t.Errorf("%s: protocol %q", address, proto)
				}
				_ = conn.Close()
			}
			if (err == nil) != works || !works && !strings.Contains(err.Error(), "protocol version not supported") {
				t.Errorf("%s with %s: error %v", address, tls.VersionName(version), err)
			}
		}
	}
}
