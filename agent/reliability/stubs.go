// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
)

const childSpool = "spool"

func fillSpool() {}

func (k *killer) restartFull(context.Context) error { return nil }

func diskFlags(*flag.FlagSet) func(context.Context, *trial) error  { return nil }
func fleetFlags(*flag.FlagSet) func(context.Context, *trial) error { return nil }
