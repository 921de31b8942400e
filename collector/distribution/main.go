// SPDX-License-Identifier: Apache-2.0

// The distribution is an OpenTelemetry Collector with the receiver "strobe", which
// profiles the host, and what is needed to send profiles on.
package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/otelcol"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	if err := execute(); err != nil {
		fmt.Fprintf(os.Stderr, "otelcol-strobe: %v\n", err) //nolint:errcheck // nobody else to tell
		os.Exit(1)
	}
}

func execute() error {
	if err := allowProfiles(); err != nil {
		return err
	}
	return command().Execute()
}

// command is the Collector's, whose errors are told by main.
func command() *cobra.Command {
	c := otelcol.NewCommand(settings())
	c.SilenceErrors = true
	return c
}

// allowProfiles sets the gate without which the Collector refuses every pipeline of profiles.
func allowProfiles() error {
	if err := featuregate.GlobalRegistry().Set("service.profilesSupport", true); err != nil {
		return fmt.Errorf("allow profiles: %w", err)
	}
	return nil
}

// settings describe the Collector.
func settings() otelcol.CollectorSettings {
	return otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{
			Command:     "otelcol-strobe",
			Description: "OpenTelemetry Collector with the Strobe profiler",
			Version:     buildVersion(),
		},
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{
			ResolverSettings: confmap.ResolverSettings{
				DefaultScheme: "env",
				ProviderFactories: []confmap.ProviderFactory{
					envprovider.NewFactory(), fileprovider.NewFactory(), yamlprovider.NewFactory(),
				},
			},
		},
	}
}

func buildVersion() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok {
		v = cmp.Or(v, info.Main.Version)
	}
	return cmp.Or(v, "unknown")
}
