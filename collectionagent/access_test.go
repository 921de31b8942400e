// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/web"
)

// openRoutes are all that need no token.
func openRoutes() []string {
	return append(web.Patterns(), "GET /-/healthy", "GET /-/ready", "GET /healthz", "GET /ready", "GET /login", "POST /login")
}

// targets returns the requests that a pattern takes.
func targets(pattern string) (methods []string, path string) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = "", pattern
	}
	path = strings.ReplaceAll(strings.ReplaceAll(path, "{$}", ""), "{name}", "service")
	if path == "/debug/pprof/profile" || path == "/debug/pprof/trace" {
		path += "?seconds=1"
	}
	if method != "" {
		return []string{method}, path
	}
	return []string{http.MethodGet, http.MethodPost}, path
}

// TestNoRouteIsOpen walks all routes.
func TestNoRouteIsOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	policy := auth.DefaultPolicy()
	forged := r.tokens["blue admin"][:len(r.tokens["blue admin"])-1] + "_"
	other := r.tokens["blue admin"]
	other = other[:len(other)-3] + "AAA"
	for _, route := range r.routes {
		access, listed := policy.Routes[route.Pattern]
		if !listed {
			t.Errorf("%s is not in the policy", route.Pattern)
			continue
		}
		methods, path := targets(route.Pattern)
		for _, method := range methods {
			f := func(what, token string, want ...int) {
				t.Helper()
				resp, body := r.do(method, r.url+path, token)
				if !slices.Contains(want, resp.StatusCode) {
					t.Errorf("%s %s with %s: status %d, want %v: %.200s", method, path, what, resp.StatusCode, want, body)
				}
				challenge := resp.Header.Get("WWW-Authenticate")
				if (resp.StatusCode == http.StatusUnauthorized) != strings.HasPrefix(challenge, "Bearer") {
					t.Errorf("%s %s with %s: status %d, WWW-Authenticate %q", method, path, what, resp.StatusCode, challenge)
				}
				if token != "" && strings.Contains(body, token) {
					t.Errorf("%s %s with %s: the answer has the token", method, path, what)
				}
			}
			if slices.Contains(openRoutes(), route.Pattern) {
				if access.Open == "" {
					t.Errorf("%s should be open", route.Pattern)
				}
				if resp, _ := r.do(method, r.url+path, ""); route.Pattern == "POST /login" && resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s without a token: %d", route.Pattern, resp.StatusCode)
				}
				continue
			}
			if access.Open != "" {
				t.Errorf("%s is open: %s", route.Pattern, access.Open)
			}
			f("no token", "", 401)
			// Past the limit of failed attempts the answer is 429.
			f("a malformed token", forged, 401, 429)
			f("a wrong secret", other, 401, 429)
			f("an expired token", r.tokens["blue expired"], 401, 429)
			whole := r.tokens["* admin"]
			switch {
			case access.Role == auth.RoleIngest:
				f("the role query", r.tokens["blue query"], 403)
				f("a token of all projects", whole, 403) // data belongs to one
				whole = r.tokens["blue ingest"]
			case access.ServerWide:
				f("a token of a project", r.tokens["blue admin"], 403)
			case access.Role == auth.RoleAdmin:
				f("the role query", r.tokens["blue query"], 403)
			case access.Role != 0:
				f("the role ingest", r.tokens["blue ingest"], 403)
			}
			resp, body := r.do(method, r.url+path, whole)
			if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
				t.Errorf("%s %s with a token that is allowed to: %d %s", method, path, resp.StatusCode, body)
			}
		}
	}
	// What is not served is denied as well, so that nobody learns what is.
	for _, target := range []string{"GET /none", "POST /metrics", "GET /api/v2", "PUT /api/v1/status", "GET /debug", "GET /auth.json", "GET /../auth.json"} {
		method, path, _ := strings.Cut(target, " ")
		if resp, _ := r.do(method, r.url+path, ""); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", target, resp.StatusCode)
		}
	}
}

// TestDeniedCalls calls methods of Pyroscope's service without the right, and is told by its protocol.
func TestDeniedCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for token, want := range map[string]string{"": `"code":"unauthenticated","message":"a token is needed`, r.tokens["blue ingest"]: `"code":"permission_denied","message":"this token has the role`} {
		for header, value := range map[string]string{"Connect-Protocol-Version": "1", "Content-Type": "application/proto"} {
			resp, body := r.send("/querier.v1.QuerierService/ProfileTypes", "", token, header, value)
			if resp.StatusCode == http.StatusOK || !strings.Contains(body, want) || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %s, want %s", resp.StatusCode, body, want)
			}
		}
	}
}

// TestRouteWithoutPolicy adds a route that nobody thought about.
func TestRouteWithoutPolicy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	called := false
	url := r.serve(append(r.routes, auth.Route{Pattern: "/api/v1/new", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })}))
	for token, want := range map[string]int{"": 401, r.tokens["blue admin"]: 403, r.tokens["* admin"]: 403} {
		if resp, _ := r.do(http.MethodGet, url+"/api/v1/new", token); resp.StatusCode != want {
			t.Errorf("status %d, want %d", resp.StatusCode, want)
		}
	}
	if called {
		t.Error("the handler was called")
	}
}

// openRPCs need no token.
var openRPCs = []string{"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Watch"}

// call makes an RPC of any kind with an empty message and returns the code of the answer.
func (r *rig) call(token, method string, streams bool) codes.Code {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.with(token), 2*time.Minute)
	defer cancel()
	if !streams {
		return status.Code(r.conn.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{}))
	}
	s, err := r.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err == nil {
		_ = s.SendMsg(&emptypb.Empty{}) // the answer tells
		_ = s.CloseSend()
		err = s.RecvMsg(&emptypb.Empty{})
	}
	return status.Code(err)
}

// TestNoRPCIsOpen walks all services.
func TestNoRPCIsOpen(t *testing.T) {
	t.Parallel()
	called := false
	r := newRig(t, func(s *grpc.Server) {
		s.RegisterService(&grpc.ServiceDesc{
			ServiceName: "strobe.New", HandlerType: (*any)(nil),
			Methods: []grpc.MethodDesc{{
				MethodName: "Get",
				Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
					called = true
					return &emptypb.Empty{}, nil
				},
			}},
		}, struct{}{})
	})
	policy := auth.DefaultPolicy()
	walked := 0
	for service, info := range r.rpc.GetServiceInfo() {
		for _, m := range info.Methods {
			method := "/" + service + "/" + m.Name
			streams := m.IsClientStream || m.IsServerStream
			access, listed := policy.RPCs[method]
			f := func(what, token string, want codes.Code) {
				t.Helper()
				if got := r.call(token, method, streams); got != want {
					t.Errorf("%s with %s: %s, want %s", method, what, got, want)
				}
			}
			if service == "strobe.New" {
				f("no token", "", codes.Unauthenticated)
				f("a token", r.tokens["blue admin"], codes.Unimplemented)
				continue
			}
			walked++
			if !listed {
				t.Errorf("%s is not in the policy", method)
			}
			if slices.Contains(openRPCs, method) {
				f("no token", "", codes.OK)
				continue
			}
			if access.Open != "" {
				t.Errorf("%s is open: %s", method, access.Open)
			}
			f("no token", "", codes.Unauthenticated)
			f("a malformed token", "strobe_x", codes.Unauthenticated)
			f("an expired token", r.tokens["blue expired"], codes.Unauthenticated)
			if access.Role == auth.RoleIngest {
				f("the role query", r.tokens["blue query"], codes.PermissionDenied)
				f("a token of all projects", r.tokens["* admin"], codes.PermissionDenied)
			}
			if got := r.call(r.tokens["blue ingest"], method, streams); got == codes.Unauthenticated || got == codes.PermissionDenied {
				t.Errorf("%s with the right token: %s", method, got)
			}
		}
	}
	if walked < 13 {
		t.Errorf("only %d methods found", walked)
	}
	if called {
		t.Error("the method that is not in the policy was called")
	}
	if got := r.call("", "/no.Service/Method", false); got != codes.Unauthenticated {
		t.Errorf("unknown service: %s", got)
	}
}
