// SPDX-License-Identifier: Apache-2.0

package ingest

import "context"

// projectKey is the key of the project in a context.
type projectKey struct{}

// WithProject returns a context whose requests belong to a project. Whoever
// authenticates a request calls it; the name is trusted.
func WithProject(ctx context.Context, project string) context.Context {
	return context.WithValue(ctx, projectKey{}, project)
}

// project returns the project that a request belongs to: that of its context,
// else the configured one.
func (s *Server) project(ctx context.Context) string {
	if p, ok := ctx.Value(projectKey{}).(string); ok && p != "" {
		return p
	}
	return s.cfg.Project
}
