// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/tlsfiles"
	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
)

// everywhere are addresses that other machines can reach.
var everywhere = []string{"-http-address", "0.0.0.0:0", "-grpc-address", "0.0.0.0:0"}

// startEverywhere starts the program on addresses that other machines can reach.
func startEverywhere(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := start(t, dir, append(everywhere, args...)...)
	_, port, err := net.SplitHostPort(p.grpc)
	if err != nil {
		t.Fatal(err)
	}
	p.grpc = "localhost:" + port
	return p
}

// trust makes the process's client trust a file of authorities and show a pair, if
// there is one, and returns credentials for agents that do the same.
func (p *process) trust(caFile, certFile, keyFile string) *tlsfiles.Files {
	p.t.Helper()
	data, err := os.ReadFile(caFile)
	if err != nil {
		p.t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(data)
	if certFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			p.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	p.client = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	files, err := tlsfiles.Open(tlsfiles.Options{CAFile: caFile, CertFile: certFile, KeyFile: keyFile})
	if err != nil {
		p.t.Fatal(err)
	}
	return files
}

// reach calls the server. An answer about tokens is one, too: they are not the
// subject here.
func reach(t *testing.T, c pb.CollectionAgentClient) {
	t.Helper()
	if err := tryReach(t, c); err != nil {
		t.Error(err)
	}
}

func tryReach(t *testing.T, c pb.CollectionAgentClient) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	_, err := c.GetServerInfo(ctx, &pb.GetServerInfoRequest{ProtocolVersion: 1})
	if status.Code(err) == codes.Unauthenticated {
		return nil
	}
	return err
}

// refused wants TLS of a version to be refused on an address.
func refused(t *testing.T, address string, version uint16) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}) //nolint:gosec // only the version counts
	if err == nil {
		_ = conn.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("%s on %s: %v", tls.VersionName(version), address, err)
	}
}

// TestOwnCertificate reaches a server from outside that was given no certificate.
func TestOwnCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startEverywhere(t, dir)
	if p.scheme != "https" {
		t.Fatalf("scheme %s", p.scheme)
	}
	ca := filepath.Join(dir, "tls", "ca.pem")
	files := p.trust(ca, "", "")
	resp, err := p.client.Get("https://" + p.http + "/-/ready")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.TLS.Version != tls.VersionTLS13 {
		t.Errorf("%s over %s", resp.Proto, tls.VersionName(resp.TLS.Version))
	}
	reach(t, p.agent(files.ClientCredentials(nil)))
	reach(t, p.agent(files.ClientCredentials(&tls.Config{ServerName: "127.0.0.1"})))
	for _, address := range []string{p.http, p.grpc} {
		refused(t, address, tls.VersionTLS12)
	}
	if resp, err = http.Get("http://" + p.http + "/"); err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "HTTPS") {
		t.Errorf("plain HTTP: %d %q", resp.StatusCode, body)
	}
	if status, metrics := p.get("/metrics"); status == http.StatusOK && !strings.Contains(metrics, `strobe_collectionagent_tls_certificate_expiry_seconds{kind="certificate"}`) {
		t.Error("no metric says when the certificate expires")
	}
	data, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	sum := strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sha256.Sum256(block.Bytes))), " ", ":")
	if log := p.log.String(); !strings.Contains(log, sum) || !strings.Contains(log, ca) {
		t.Errorf("the log does not name the authority: %s", log)
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}

	p = startEverywhere(t, dir, "-tls-names", "profiles.example")
	files = p.trust(ca, "", "") // the same authority
	reach(t, p.agent(files.ClientCredentials(&tls.Config{ServerName: "profiles.example"})))
}

// TestPerAddress has TLS where other machines come in, and none on loopback.
func TestPerAddress(t *testing.T) {
	t.Parallel()
	clients := tlstest.New(t, "clients")
	cert, key := clients.IssueFiles(tlstest.Leaf{})
	dir := t.TempDir()
	p := start(t, dir, "-grpc-address", "0.0.0.0:0", "-tls-client-ca", clients.File())
	if status, _ := p.get("/-/ready"); p.scheme != "http" || status != http.StatusOK {
		t.Errorf("%s on loopback: %d", p.scheme, status)
	}
	_, port, _ := net.SplitHostPort(p.grpc)
	p.grpc = "127.0.0.1:" + port
	files, err := tlsfiles.Open(tlsfiles.Options{CAFile: filepath.Join(dir, "tls", "ca.pem"), CertFile: cert, KeyFile: key})
	if err != nil {
		t.Fatal(err)
	}
	reach(t, p.agent(files.ClientCredentials(nil)))
	without, err := tlsfiles.Open(tlsfiles.Options{CAFile: filepath.Join(dir, "tls", "ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	if err := tryReach(t, p.agent(without.ClientCredentials(nil))); err == nil || !strings.Contains(err.Error(), "-tls-cert") {
		t.Errorf("without a certificate: %v", err)
	}

	p = startEverywhere(t, t.TempDir(), "-insecure")
	if p.scheme != "http" {
		t.Errorf("%s with -insecure", p.scheme)
	}
	reach(t, p.agent(insecure.NewCredentials()))
}

// TestClientAuth asks agents for certificates, and browsers as told. Certificates
// and authorities are replaced while the program runs.
func TestClientAuth(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"grpc", "all"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			ca, clients := tlstest.New(t, "servers"), tlstest.New(t, "clients")
			dir := t.TempDir()
			serverCert, serverKey := ca.Issue(tlstest.Leaf{})
			pair := tlstest.Write(t, dir, "server.pem", append(serverCert, serverKey...))
			clientCA := tlstest.Write(t, dir, "clients.pem", clients.PEM)
			p := startEverywhere(t, t.TempDir(), "-tls-cert", pair, "-tls-key", pair, "-tls-client-ca", clientCA, "-tls-client-auth", who)
			cert, key := clients.IssueFiles(tlstest.Leaf{})
			files := p.trust(ca.File(), cert, key)
			if status, _ := p.get("/-/ready"); status != http.StatusOK {
				t.Errorf("with a certificate: %d", status)
			}
			staying := p.agent(files.ClientCredentials(nil))
			reach(t, staying)
			without := p.trust(ca.File(), "", "")
			resp, err := p.client.Get("https://" + p.http + "/-/ready")
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err == nil) != (who == "grpc") {
				t.Errorf("a browser without a certificate: %v", err)
			}
			refuse := func(what string, files *tlsfiles.Files) {
				t.Helper()
				if err := tryReach(t, p.agent(files.ClientCredentials(nil))); err == nil {
					t.Errorf("an agent %s is let in", what)
				}
			}
			refuse("without a certificate", without)
			foreignCert, foreignKey := tlstest.New(t, "clients").IssueFiles(tlstest.Leaf{})
			refuse("with a foreign certificate", p.trust(ca.File(), foreignCert, foreignKey))

			newCA, newClients := tlstest.New(t, "servers"), tlstest.New(t, "clients")
			serverCert, serverKey = newCA.Issue(tlstest.Leaf{})
			tlstest.Write(t, dir, "server.pem", append(serverCert, serverKey...))
			tlstest.Write(t, dir, "clients.pem", newClients.PEM)
			newCert, newKey := newClients.IssueFiles(tlstest.Leaf{})
			renewed := p.trust(newCA.File(), newCert, newKey)
			deadline := time.Now().Add(2 * time.Minute)
			for { // the program looks every few seconds
				if err := tryReach(t, p.agent(renewed.ClientCredentials(nil))); err == nil {
					break
				} else if time.Now().After(deadline) {
					t.Fatalf("new certificates are not taken: %v", err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			refuse("of the former authority", p.trust(newCA.File(), cert, key))
			reach(t, staying) // the connection of before
		})
	}
}
