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
	logs, results   string
}

func host() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	kernels := flag.String("kernels", "", "`names` of kernels, separated by commas (default all)")
	doc := flag.String("doc", "", "`file` whose table to write, of this and of earlier runs, such as docs/kernels.md")
	flag.IntVar(&o.jobs, "jobs", 1, "guests at the same time")
	flag.DurationVar(&o.limit, "limit", 25*time.Minute, "time for each kernel")
	flag.BoolVar(&o.update, "update", false, "look for newer packages of kernels")
	flag.BoolVar(&o.emulate, "emulate", false, "do not use KVM")
	flag.BoolVar(&o.quick, "quick", false, "doctor, one subject, the pipe, and what the verifier says only")
	flag.StringVar(&o.logs, "logs", ".test/kernels/logs", "`folder` for what the guests say")
	flag.StringVar(&o.results, "results", "support/kerneltest/results", "`folder` of what is in the table of -doc")
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
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			rows[i] = o.try(ctx, chosen[i], *p, image)
			fmt.Fprintln(os.Stderr, rows[i].line())
		})
	}
	wg.Wait()
	fmt.Println(table(rows))
	if *doc != "" {
		if err := writeDoc(*doc, o.saved()); err != nil {
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

// try boots one kernel, once: a guest that dies is a result. What went wrong is in the row.
func (o *options) try(ctx context.Context, e entry, p plan, image string) row {
	r := row{entry: e, Date: time.Now(), Quick: o.quick}
	if err := o.boot(ctx, &r, p, image); err != nil {
		r.Error = err.Error()
	}
	if ctx.Err() != nil { // somebody interrupted it, which says nothing of the kernel
		return r
	}
	if err := o.save(&r); err != nil && r.Error == "" {
		r.Error = err.Error()
	}
	return r
}

func (o *options) boot(ctx context.Context, r *row, p plan, image string) error {
	logs := filepath.Join(o.logs, r.name)
	if err := os.RemoveAll(logs); err != nil {
		return err
	}
	if err := os.MkdirAll(logs, 0o755); err != nil { //nolint:gosec // no secret
		return err
	}
	k, err := vm.Fetch(ctx, r.source(o.update))
	if err != nil {
		return err
	}
	r.Release = k.Release
	p.Cannot, p.Hide = r.cannot, r.hide
	if r.noTypes {
		if k, err = k.WithoutTypes(ctx); err != nil {
			return err
		}
		p.Hide = append(p.Hide, "/sys/kernel/btf") // the file stays
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	file := filepath.Join(logs, "plan.json")
	if err := os.WriteFile(file, b, 0o644); err != nil { //nolint:gosec // no secret
		return err
	}
	out, err := os.Create(filepath.Join(logs, "output.log")) //nolint:gosec // ours
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // a log
	m := vm.Machine{
		Kernel: k, Root: image, MemoryMB: 3072, Append: r.append, Cgroup: r.cgroup, NoPMU: r.noPMU, Emulate: o.emulate,
	}
	r.Accelerated = m.Accelerated()
	result, err := m.Run(ctx, vm.Command{
		Args: []string{bin + "kerneltest", "guest"}, Files: map[string]string{planFile: file},
		Limit: o.limit, Output: out, Collect: []string{reportFile, logDir}, CollectDir: logs,
	})
	if err != nil {
		return err
	}
	r.Took, r.Boot = result.Run, result.Boot
	// A report that was written before the time was over has what was found until then.
	b, err = os.ReadFile(filepath.Join(logs, reportFile)) //nolint:gosec // ours
	if err == nil {
		err = json.Unmarshal(b, &r.Report)
	}
	switch {
	case result.TimedOut:
		return fmt.Errorf("its time, %v, was over", o.limit)
	case err != nil || result.Status != 0:
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("the guest's part ended with status %d: %.1000s", result.Status, said)
	}
	return nil
}
