// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// command runs a subcommand on the file of tokens of a data directory and
// returns what it prints on standard output.
func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.Command(binary, append(args, "-data-dir", dir)...) //nolint:gosec // the program under test
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &problems)
	}
	return strings.TrimSpace(out.String())
}

// TestTokens creates, uses and revokes tokens while the server runs.
func TestTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	c := p.agent(insecure.NewCredentials())
	ask := func(token string) codes.Code {
		t.Helper()
		ctx := t.Context()
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		_, err := c.GetServerInfo(ctx, &pb.GetServerInfoRequest{ProtocolVersion: 1})
		return status.Code(err)
	}
	push(t, c, 1, 10) // on loopback, and there is no token
	p.checkFolded("root_fn;leaf_fn 10\n")

	command(t, dir, "project", "create", "shop")
	ingest := command(t, dir, "token", "create", "-project", "shop", "-role", "ingest")
	p.until("the first token closes the server", func() bool { return ask("") == codes.Unauthenticated })
	if got := ask(ingest); got != codes.OK {
		t.Errorf("with the token, on the same connection: %s", got)
	}
	if code, _ := p.get("/api/v1/status"); code != http.StatusUnauthorized {
		t.Errorf("status without a token: %d", code)
	}
	if code, body := p.get("/-/ready"); code != http.StatusOK || body != "ready\n" {
		t.Errorf("/-/ready: %d %q", code, body)
	}
	id := strings.Split(ingest, "_")[1]
	fresh := command(t, dir, "token", "rotate", id)
	p.until("the new secret is good", func() bool { return ask(fresh) == codes.OK })
	if got := ask(ingest); got != codes.OK {
		t.Errorf("the secret before, within its grace period: %s", got)
	}
	if list := command(t, dir, "token", "list"); !strings.Contains(list, "rotating") || strings.Contains(list, strings.Split(fresh, "_")[2]) {
		t.Errorf("list of tokens:\n%s", list)
	}
	command(t, dir, "token", "revoke", id)
	p.until("the revoked token is denied on the open connection", func() bool { return ask(fresh) == codes.Unauthenticated })
	if got := ask(ingest); got != codes.Unauthenticated {
		t.Errorf("the secret before, after the token was revoked: %s", got)
	}
	// The last token is gone, but nothing opens.
	if got := ask(""); got != codes.Unauthenticated {
		t.Errorf("without any token: %s", got)
	}
	for _, secret := range []string{ingest, fresh} {
		if strings.Contains(p.log.String(), strings.Split(secret, "_")[2]) {
			t.Error("the log has a token")
		}
	}
	file, err := os.ReadFile(dir + "/auth.json")
	if err != nil || bytes.Contains(file, []byte(strings.Split(fresh, "_")[2])) {
		t.Errorf("the file has a token, or is not there: %v", err)
	}
}
