// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/proto/tokenfile"
)

// tokenFile is the bearer token of requests, read from a file when it changes. It never
// gives the token to anything but a transport. A nil tokenFile is none. Safe for concurrent use.
type tokenFile struct {
	path     string
	insecure bool // may travel without TLS

	mu    sync.Mutex
	token string
	err   error
	state fileState // when it was read
	// renewed: the token was read anew since changed was asked last.
	renewed bool
}

// fileState tells one version of a file from another.
type fileState struct {
	size int64
	time time.Time
	info os.FileInfo // for its identity
}

func (a fileState) equal(b fileState) bool {
	return a.size == b.size && a.time.Equal(b.time) && (a.info == nil) == (b.info == nil) &&
		(a.info == nil || os.SameFile(a.info, b.info))
}

var _ credentials.PerRPCCredentials = (*tokenFile)(nil)

func newTokenFile(s *settings) *tokenFile {
	if s.TokenFile == "" {
		return nil
	}
	t := &tokenFile{path: s.TokenFile, insecure: s.DisableTLS || isLoopback(s.CollAgentAddr)}
	if s.DisableTLS && !isLoopback(s.CollAgentAddr) {
		s.Logger.Warn("the token travels unencrypted because TLS is disabled", "address", s.CollAgentAddr)
	}
	_, _ = t.get() // what is wrong with it is told by the first RPC
	t.renewed = false
	return t
}

// isLoopback reports that an address of gRPC stays on this host.
func isLoopback(address string) bool {
	address = strings.TrimPrefix(address, "passthrough:///")
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(strings.TrimPrefix(address, "dns:///"))
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (t *tokenFile) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := t.get()
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (t *tokenFile) RequireTransportSecurity() bool { return !t.insecure }

// get returns the token as the file has it now.
func (t *tokenFile) get() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var now fileState
	if info, err := os.Stat(t.path); err == nil {
		now = fileState{size: info.Size(), time: info.ModTime(), info: info}
	}
	if (t.token == "" && t.err == nil) || !now.equal(t.state) || (t.err != nil && now.info == nil) {
		t.read(now)
	}
	return t.token, t.err
}

func (t *tokenFile) read(now fileState) {
	before := t.token
	if t.token, _, t.err = tokenfile.Read(t.path); t.err != nil {
		t.err = fmt.Errorf("read token file: %w", t.err)
	}
	t.state = now
	t.renewed = t.renewed || (t.err == nil && t.token != before)
}

// changed reports once that there is another token than when it was last asked for.
func (t *tokenFile) changed() bool {
	if t == nil {
		return false
	}
	_, _ = t.get()
	t.mu.Lock()
	defer t.mu.Unlock()
	renewed := t.renewed
	t.renewed = false
	return renewed
}

// refused takes note of a refusal and reports whether the file holds another token
// by now, even if it looks unchanged.
func (t *tokenFile) refused(err error) bool {
	if t == nil || status.Code(err) != codes.Unauthenticated {
		return false
	}
	t.mu.Lock()
	t.read(t.state)
	t.mu.Unlock()
	return t.changed()
}
