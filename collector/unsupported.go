// SPDX-License-Identifier: Apache-2.0

//go:build !linux || !(amd64 || arm64)

package collector

import (
	"context"
	"fmt"
	"runtime"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"
)

// claim is of no use where nothing is sampled.
type claim struct{}

func newOptions() options { return options{} }

// create is a xreceiver.CreateProfilesFunc.
func (*options) create(context.Context, receiver.Settings, component.Config, xconsumer.Profiles) (xreceiver.Profiles, error) {
	return nil, fmt.Errorf("the receiver %s samples Linux on amd64 and arm64, this is %s on %s: remove it from the configuration",
		Type, runtime.GOOS, runtime.GOARCH)
}
