// SPDX-License-Identifier: Apache-2.0

package clickhouse_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse/clickhousetest"
	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/program"
)

// TestSetUp starts a collection agent as docs/clickhouse.md says, for a user with the
// grants that it says. Of its two servers the first is away.
func TestSetUp(t *testing.T) {
	t.Parallel()
	server := clickhousetest.NewCurrent(t, &clickhousetest.User{Name: "strobe", Password: "...", Grants: clickhousetest.DocumentedGrants(t, "strobe")})
	server.Start()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", "./collectionagent")
	build.Dir, build.Env = doctest.Root(t), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	authority := tlstest.New(t, "authority of the tests")
	if err := os.WriteFile(dir+"/ca.pem", authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	certificate, key := authority.IssueFiles(tlstest.Leaf{Names: []string{"127.0.0.1"}})
	page, away := program.FreeAddress(t), program.FreeAddress(t)
	doc := doctest.Open(t, "docs/clickhouse.md", "Set up")
	sh := doc.Shell(t, doctest.Options{
		Dir: dir, Path: []string{dir},
		Env: []string{
			"STROBE_COLLECTIONAGENT_DATA_DIR=" + dir + "/data", "STROBE_COLLECTIONAGENT_HTTP_ADDRESS=" + page,
			"STROBE_COLLECTIONAGENT_GRPC_ADDRESS=" + program.FreeAddress(t), "STROBE_COLLECTIONAGENT_CLICKHOUSE_CA=" + dir + "/ca.pem",
		},
		Replace: map[string]string{"ch1:9440": away, "ch2:9440": encrypt(t, server.Addr, certificate, key)},
	})
	sh.RunAll()
	doctest.WaitHTTP(t, "http://"+page+"/-/ready")
	if tables := server.Query("SELECT name FROM system.columns WHERE database = 'strobe' AND table = 'samples'"); len(tables) == 0 {
		t.Error("it is ready and has made no tables")
	}
}

// encrypt returns an address that speaks TLS for the server at another one.
func encrypt(t *testing.T, address, certificate, key string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address) //nolint:noctx // of a test
			if err != nil {
				_ = client.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
				}()
			}
		}
	}()
	return l.Addr().String()
}
