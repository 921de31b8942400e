// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// lastWords is a source that tells of a container and then answers, or not, while it is being ended.
type lastWords struct {
	end context.CancelFunc
	err error
}

func (s *lastWords) kind() string  { return kindDocker }
func (s *lastWords) where() string { return "/last/docker.sock" }
func (s *lastWords) close()        {}

func (s *lastWords) look(_ context.Context, _ []string, tell func(string, container)) error {
	tell(webID, container{name: "web"})
	s.end()
	return s.err
}

// TestEndCounts: what a source told in the moment that the directory is closed is counted as what it
// told before, and an attempt that Close cut off is no failure of the source.
func TestEndCounts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err   error
		state string
	}{
		"answered": {nil, StateAsked},
		"cut off":  {context.Canceled, StateIdle},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := New(Options{Sockets: []string{"/last/docker.sock"}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, end := context.WithCancel(t.Context())
			a := newAsker(&lastWords{end, test.err}, d, 0)
			a.want(webID)
			a.run(ctx)
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(d.metrics.lookups)
			families, err := registry.Gather()
			if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 1 {
				t.Fatalf("counted: %v, %v, want one result alone", families, err)
			}
			m := families[0].GetMetric()[0]
			if result := m.GetLabel()[0].GetValue(); result != "found" || m.GetCounter().GetValue() != 1 {
				t.Errorf("counted: %v, want found once", m)
			}
			if s := a.status(); s.State != test.state {
				t.Errorf("the source is %q, want %q", s.State, test.state)
			}
		})
	}
}
