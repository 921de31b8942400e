// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command kerneltest boots kernels of Debian and tries the agent on each: what its
// doctor says, whether it refuses where it must, programs with known stacks, the way
// to a collection agent and a query, and the tests that load eBPF programs. It prints
// the table of docs/kernels.md.
//
//	go run ./support/kerneltest -kernels 6.1,6.12
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/support/vm"
)

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "guest" {
		err = inGuest()
	} else {
		err = host()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kerneltest:", err)
		os.Exit(1)
	}
}

type options struct {
	jobs            int
	limit           time.Duration
	update, emulate bool
	quick           bool
	logs            string
}

func host() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	kernels := flag.String("kernels", "", "`names` of kernels, separated by commas (default all)")
	doc := flag.String("doc", "", "`file` whose table to write, such as docs/kernels.md")
	flag.IntVar(&o.jobs, "jobs", 1, "guests at the same time")
	flag.DurationVar(&o.limit, "limit", 25*time.Minute, "time for each kernel")
	flag.BoolVar(&o.update, "update", false, "look for newer packages of kernels")
	flag.BoolVar(&o.emulate, "emulate", false, "do not use KVM")
	flag.BoolVar(&o.quick, "quick", false, "doctor, a subject and the pipe only")
	flag.StringVar(&o.logs, "logs", ".test/kernels/logs", "`folder` for what the guests say")
	flag.Parse()
	chosen, err := choose(*kernels)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "strobe-kernels")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // ours
	p, image, err := prepare(ctx, dir, o.quick)
	if err != nil {
		return err
	}
	rows := make([]row, len(chosen))
	gate := make(chan struct{}, max(1, o.jobs))
	var wg sync.WaitGroup
	for i := range chosen {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			rows[i] = o.try(ctx, chosen[i], *p, image)
			fmt.Fprintln(os.Stderr, rows[i].line())
		})
	}
	wg.Wait()
	fmt.Println(table(rows))
	if *doc != "" {
		if err := writeDoc(*doc, rows); err != nil {
			return err
		}
	}
	bad := 0
	for i := range rows {
		if rows[i].problem() != "" {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d kernels: not as expected; see %s", bad, len(rows), o.logs)
	}
	return nil
}

// try boots one kernel.
func (o *options) try(ctx context.Context, e entry, p plan, image string) row {
	r := row{entry: e}
	k, err := vm.Fetch(ctx, e.source(o.update))
	if err != nil {
		r.err = err
		return r
	}
	r.kernel = k
	p.Cannot, p.Hide = e.cannot, e.hide
	logs := filepath.Join(o.logs, e.name)
	if r.err = os.RemoveAll(logs); r.err != nil {
		return r
	}
	if r.err = os.MkdirAll(logs, 0o755); r.err != nil { //nolint:gosec // no secret
		return r
	}
	b, err := json.Marshal(p)
	if err != nil {
		r.err = err
		return r
	}
	file := filepath.Join(logs, "plan.json")
	if r.err = os.WriteFile(file, b, 0o644); r.err != nil { //nolint:gosec // no secret
		return r
	}
	out, err := os.Create(filepath.Join(logs, "output.log")) //nolint:gosec // ours
	if err != nil {
		r.err = err
		return r
	}
	defer out.Close() //nolint:errcheck // a log
	m := vm.Machine{
		Kernel: k, Root: image, MemoryMB: 3072, Append: e.append, Cgroup: e.cgroup, NoPMU: e.noPMU, Emulate: o.emulate,
	}
	r.accelerated = m.Accelerated()
	r.result, r.err = m.Run(ctx, vm.Command{
		Args: []string{bin + "kerneltest", "guest"}, Files: map[string]string{planFile: file},
		Limit: o.limit, Output: out, Collect: []string{reportFile, logDir}, CollectDir: logs,
	})
	if r.err != nil {
		return r
	}
	b, err = os.ReadFile(filepath.Join(logs, reportFile)) //nolint:gosec // ours
	if err != nil {
		said, _ := os.ReadFile(out.Name())
		r.err = fmt.Errorf("the guest wrote no report: %w\n%.1000s", err, said)
		return r
	}
	r.err = json.Unmarshal(b, &r.report)
	return r
}
