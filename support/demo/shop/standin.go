// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// reasonFile is in images whose language could not be packed (support/demo/base.sh).
const reasonFile = "/WITHOUT"

// execOrStandIn becomes the program, or, where the image does not have it, a service that answers
// every request with 501 and the reason. The first argument may be a pattern, as the name of an
// interpreter's folder has its version.
func execOrStandIn(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("exec: want a program")
	}
	if reason, err := os.ReadFile(reasonFile); err == nil {
		text := strings.TrimSpace(string(reason))
		slog.Warn("this image goes without its language", "program", arguments[0], "reason", text)
		return serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, text, http.StatusNotImplemented)
		}))
	}
	found, err := filepath.Glob(arguments[0])
	if err != nil || len(found) == 0 {
		return fmt.Errorf("exec %s: nothing is there (%w)", arguments[0], err)
	}
	program := append([]string{found[0]}, arguments[1:]...)
	if err := syscall.Exec(found[0], program, os.Environ()); err != nil { //nolint:gosec // what the image says
		return fmt.Errorf("exec %s: %w", found[0], err)
	}
	return nil
}
