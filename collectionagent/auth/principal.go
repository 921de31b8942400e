// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
)

// DefaultProject is the project of everything while nobody needs a token. It
// always exists.
const DefaultProject = ingest.DefaultProject

// Principal is who makes a request. It must not be changed.
type Principal struct {
	// TokenID names the token, "" where none is needed.
	TokenID string
	// TokenName is what people call it.
	TokenName string
	// Scope is the project of the token, [AllProjects] for all.
	Scope string
	Roles Roles
	// Project is the project of this request; it is never [AllProjects].
	Project string
	// Session is set when the request came with a cookie in place of the token.
	Session bool

	digest Digest
}

// ServerWide reports whether numbers of the whole server may be told.
func (p *Principal) ServerWide() bool { return p.Scope == AllProjects }

// Anonymous returns the principal of everybody where no token is needed.
func Anonymous() *Principal {
	return &Principal{Scope: AllProjects, Roles: RoleIngest | RoleQuery | RoleAdmin, Project: DefaultProject}
}

type principalKey struct{}

// NewContext returns a context for requests of a principal. Data that is sent
// with it goes to the principal's project.
func NewContext(ctx context.Context, p *Principal) context.Context {
	return ingest.WithProject(context.WithValue(ctx, principalKey{}, p), p.Project)
}

// From returns who makes the request of a context. ok is false for requests that
// did not pass a [Guard], and for those that are open to everybody.
func From(ctx context.Context) (p *Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(*Principal)
	return p, ok
}
