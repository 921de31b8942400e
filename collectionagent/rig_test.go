// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/fleet"
	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/push"
	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
)

// rig is a whole server in this process that needs tokens.
type rig struct {
	t      *testing.T
	path   string // of the file of tokens
	guard  *auth.Guard
	routes []auth.Route
	rpc    *grpc.Server
	url    string
	conn   *grpc.ClientConn
	// tokens by project and role, as "blue ingest".
	tokens map[string]string
	store  *reopened
	now    time.Time // of the server, when it answers questions
}

// reopened is a store that can be closed and opened again.
type reopened struct {
	*embedded.Store
	config embedded.Config
}

// seal writes all samples from memory into blocks.
func (r *rig) seal() {
	r.t.Helper()
	err := r.store.Close()
	if err == nil {
		r.store.Store, err = embedded.Open(r.store.config)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	st, err := r.store.Stats(r.t.Context())
	if err != nil || st.Bytes["blocks"] == 0 {
		r.t.Fatalf("there is no block: %v, %v", st.Bytes, err)
	}
}

// newRig starts a server with the projects blue and red and tokens for each
// role, and for all projects ("* admin", "* query").
func newRig(t *testing.T, more ...func(*grpc.Server)) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "auth.json"), tokens: map[string]string{}}
	err := auth.Edit(r.path, func(f *auth.File) error {
		for _, project := range []string{"blue", "red"} {
			if err := f.CreateProject(project, time.Now()); err != nil {
				return err
			}
		}
		for _, name := range []string{
			"blue ingest", "blue query", "blue admin", "red ingest", "red query", "red admin", "* query", "* admin",
		} {
			project, role := split(name)
			roles, err := auth.ParseRoles(role)
			if err != nil {
				return err
			}
			if r.tokens[name], _, err = f.CreateToken(auth.NewToken{Project: project, Roles: roles}, time.Now()); err != nil {
				return err
			}
		}
		var err error
		r.tokens["blue expired"], _, err = f.CreateToken(
			auth.NewToken{Project: "blue", Roles: auth.RoleAdmin, Expires: time.Now().Add(-time.Hour)}, time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if r.guard, err = auth.New(auth.Config{Path: r.path, Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	r.store = &reopened{config: embedded.Config{Dir: t.TempDir()}}
	if r.store.Store, err = embedded.Open(r.store.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	agents, err := fleet.New(fleet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in, err := ingest.New(ingest.Config{Store: r.store, Fleet: agents})
	if err != nil {
		t.Fatal(err)
	}
	r.rpc, _ = in.NewGRPCServer(r.guard.ServerOptions()...)
	pushed, err := push.New(push.Config{Ingest: in, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	pushed.RegisterGRPC(r.rpc)
	for _, register := range more {
		register(r.rpc)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = r.rpc.Serve(listener) }()
	t.Cleanup(r.rpc.Stop)
	if r.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.conn.Close() })

	s := &site{guard: r.guard}
	s.ingest.Store(in)
	r.now = time.Now()
	s.open(app(api.Config{Store: r.store, Fleet: agents, Receipts: in, Now: func() time.Time { return r.now }}, pushed.Register), func() string { return "" }, func() string { return "" })
	r.routes = s.routes(registry, true)
	r.url = r.serve(r.routes)
	return r
}

// split takes "project role" apart.
func split(name string) (project, role string) {
	for i := range len(name) {
		if name[i] == ' ' {
			return name[:i], name[i+1:]
		}
	}
	return name, ""
}

// serve serves routes behind the guard and returns the address.
func (r *rig) serve(routes []auth.Route) string {
	r.t.Helper()
	server := httptest.NewServer(r.guard.Handler(routes))
	r.t.Cleanup(server.Close)
	return server.URL
}

// do asks with a token, "" for none, and returns the answer and its body.
func (r *rig) do(method, url, token string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	return r.exchange(method, url, http.NoBody, token, headers...)
}

// send posts a body to a path.
func (r *rig) send(path, body, token string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	return r.exchange(http.MethodPost, r.url+path, strings.NewReader(body), token, headers...)
}

func (r *rig) exchange(method, url string, body io.Reader, token string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(answer)
}

// with returns a context for RPCs with a token, "" for none.
func (r *rig) with(token string) context.Context {
	if token == "" {
		return r.t.Context()
	}
	return metadata.AppendToOutgoingContext(r.t.Context(), "authorization", "Bearer "+token)
}
