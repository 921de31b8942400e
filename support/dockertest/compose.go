// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"os"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Service is what a file of Compose gives a service of what it may do.
type Service struct {
	// CapAdd are names of capabilities, as they stand there.
	CapAdd     []string `yaml:"cap_add"`
	Privileged bool
	// PID is the PID namespace, "" for one of its own.
	PID string
}

// Services returns the services of a file of Compose, by name.
func Services(t testing.TB, path string) map[string]Service {
	t.Helper()
	b, err := os.ReadFile(path) //nolint:gosec // named by a test
	if err != nil {
		t.Fatal(err)
	}
	var compose struct{ Services map[string]Service }
	if err := yaml.Unmarshal(b, &compose); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(compose.Services) == 0 {
		t.Fatalf("%s has no services", path)
	}
	return compose.Services
}
