// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"testing"
)

// TestContainerSockets: what is given takes the place of the default, wherever it stands.
func TestContainerSockets(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args, environ, want []string
	}{
		"default":     {nil, nil, []string{"auto"}},
		"off":         {[]string{"-container-sockets", "off"}, nil, []string{"off"}},
		"repeated":    {[]string{"-container-sockets", "/a.sock", "-container-sockets=/b.sock"}, nil, []string{"/a.sock", "/b.sock"}},
		"environment": {nil, []string{"STROBE_AGENT_CONTAINER_SOCKETS=auto,/b.sock"}, []string{"auto", "/b.sock"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := Load(test.args, test.environ)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Containers().Sockets; !slices.Equal(got, test.want) {
				t.Errorf("sockets %q, want %q", got, test.want)
			}
		})
	}
}
