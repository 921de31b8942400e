// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
)

// newGuard returns what lets requests in, and logs what people should know of it.
func newGuard(c *Config, logger *slog.Logger, registerer prometheus.Registerer) (*auth.Guard, error) {
	guard, err := auth.New(auth.Config{
		Mode: c.Auth, Path: c.authFile(), Reachable: c.reachable(), AllowedHosts: c.allowedHosts(), Logger: logger, Registerer: registerer,
	})
	if err != nil {
		return nil, err
	}
	switch {
	case guard.Locked():
		logger.Warn("nobody has access: requests need a token and there is none", "create", createToken+" -auth-file "+c.authFile())
	case !guard.Required() && c.reachable():
		logger.Warn("everybody who can reach the addresses can read and write everything", "auth", string(c.Auth))
	}
	return guard, nil
}
