// SPDX-License-Identifier: Apache-2.0

// Command shop is the Go part of the demo: the services of a small shop, the customers that
// load it, and a neighbour that has nothing to do with it. One static program, so that an image
// needs nothing else; docs/demo.md is the tour.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

const usage = `Usage:
  shop gateway                  the web page, in front of all other services
  shop catalog                  products, their index and the suggestions
  shop customers                customers of the gateway
  shop thumbnails               a batch job, in bursts
  shop exec PROGRAM ARGUMENT... a service in another language, or a stand-in where the image lacks it
  shop get URL                  a health check: 0 if the answer is 200
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		slog.Error("shop ends", "service", os.Args[1], "err", err)
		os.Exit(1) //nolint:gocritic // the signals are not waited for any more
	}
}

func run(ctx context.Context, service string, arguments []string) error {
	switch service {
	case "gateway":
		return serve(ctx, newGateway(os.Getenv))
	case "catalog":
		return serve(ctx, newCatalog(products(50_000), os.Getenv("SHOP_VERSION")))
	case "customers":
		return newCustomers(os.Getenv).run(ctx)
	case "thumbnails":
		return thumbnails(ctx)
	case "exec":
		return execOrStandIn(ctx, arguments)
	case "get":
		return get(ctx, arguments)
	}
	return fmt.Errorf("there is no service %q\n%s", service, usage)
}
