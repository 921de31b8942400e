// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"

	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/libpf"
)

// Type is the name of the receiver in configurations.
var Type = component.MustNewType("strobe")

// Stability of the signal. That of the Collector itself is alpha.
const stability = component.StabilityLevelAlpha

// Option changes what NewFactory returns.
type Option func(*options)

type options struct {
	defaults func(*Config)
	process  func(*libpf.Process)

	// Tests put other things in place of the host.
	newTracer sampling.New
	probe     func() []sampling.Capability
	sampled   *claim
}

// WithDefaults changes the default configuration, such as that of a distribution
// that samples more often.
func WithDefaults(change func(*Config)) Option {
	return func(o *options) { o.defaults = change }
}

// WithProcess is called with what is known of a process before its first sample, and
// again when that has changed; it may add labels or change the service. It is called
// while samples wait and must not block.
func WithProcess(change func(*libpf.Process)) Option {
	return func(o *options) { o.process = change }
}

// NewFactory returns the factory of the receiver. It supports profiles, for which the
// Collector needs its feature gate service.profilesSupport.
func NewFactory(opts ...Option) receiver.Factory {
	o := newOptions()
	for _, opt := range opts {
		opt(&o)
	}
	return xreceiver.NewFactory(Type, func() component.Config {
		c := defaultConfig()
		if o.defaults != nil {
			o.defaults(c)
		}
		return c
	}, xreceiver.WithProfiles(o.create, stability))
}
