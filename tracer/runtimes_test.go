// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"log/slog"
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	dto "github.com/prometheus/client_model/go"

	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/interpreter/all"
	"github.com/strobe-profiler/strobe/tracer/interpreter/golang"
)

// maxRuntimeVerified is the most instructions that the verifier may have to look
// at for the program of a runtime. Each 1,000 cost about 2.5 ms of CPU when the
// first process of the runtime is seen.
const maxRuntimeVerified = 25000

var processed = regexp.MustCompile(`processed (\d+) insns`)

// TestRuntimePrograms loads the program of each runtime and bounds the
// verifier's work.
func TestRuntimePrograms(t *testing.T) {
	skip.UnlessRoot(t)
	cfg, err := (&Config{}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	k, err := loadKernelSide(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close() //nolint:errcheck // nothing can be done about it
	names := map[string]bool{}
	ids := map[interpreter.ID]bool{}
	for _, r := range all.Runtimes() {
		if names[r.Name()] || ids[r.ID()] {
			t.Errorf("runtime %s is there twice", r.Name())
		}
		names[r.Name()], ids[r.ID()] = true, true
		t.Run(r.Name(), func(t *testing.T) {
			c, err := k.loadRuntimeLogged(r, ebpf.LogLevelStats)
			if err != nil {
				if ve, ok := errors.AsType[*ebpf.VerifierError](err); ok {
					t.Logf("%+v", ve)
				}
				t.Fatal(err)
			}
			defer c.Close()
			if c.Maps[r.Name()+"_processes"] == nil {
				t.Error("there is no map of processes")
			}
			m := processed.FindStringSubmatch(c.Programs["unwind_"+r.Name()].VerifierLog)
			if m == nil {
				t.Fatal("the verifier does not say how many instructions it processed")
			}
			if n, _ := strconv.Atoi(m[1]); n > maxRuntimeVerified {
				t.Errorf("the verifier processed %d instructions, the bound is %d", n, maxRuntimeVerified)
			} else {
				t.Logf("%d instructions", n)
			}
		})
	}
}

// TestGuard: a mistake in a runtime's package is an error and a counter.
func TestGuard(t *testing.T) {
	t.Parallel()
	m := &runtimeManager{metrics: newMetrics(), log: slog.New(slog.DiscardHandler)}
	r := golang.Runtime{}
	var words []uint64
	err := m.guard(r, func() error { _ = words[7]; return nil })
	if !errors.Is(err, errPanic) {
		t.Errorf("guard() = %v, want %v", err, errPanic)
	}
	var metric dto.Metric
	if err := m.metrics.runtimeErrors.WithLabelValues("go", "panic").Write(&metric); err != nil || metric.Counter.GetValue() != 1 {
		t.Errorf("%v panics were counted, %v", metric.Counter.GetValue(), err)
	}
	if err := m.guard(r, func() error { return interpreter.ErrStale }); !errors.Is(err, interpreter.ErrStale) {
		t.Errorf("guard() = %v, want %v", err, interpreter.ErrStale)
	}
}
