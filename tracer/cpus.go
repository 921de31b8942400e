// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// hotplugInterval is how often CPUs that came or went are looked for.
const hotplugInterval = 5 * time.Second

const onlineCPUs = "/sys/devices/system/cpu/online"

// cpuEvents are the sampling events, one per CPU.
type cpuEvents struct {
	mu       sync.Mutex
	prog     int
	hz       int
	hardware bool
	fds      map[int]int
	// refused are CPUs that are online and cannot be sampled. Each is told of once, and
	// tried again: whoever lets the agent do so need not start it again.
	refused map[int]bool
	// unsampled is their number.
	unsampled prometheus.Gauge
}

// sample starts sampling on all CPUs.
func (k *kernelSide) sample(hz int, unsampled prometheus.Gauge) (*cpuEvents, error) {
	c := &cpuEvents{prog: k.coll.Programs["sample_cpu"].FD(), hz: hz, fds: map[int]int{}, refused: map[int]bool{}, unsampled: unsampled}
	cpus, err := readCPUs()
	if err != nil {
		return nil, err
	}
	c.hardware = hasPMU(cpus[0])
	for _, cpu := range cpus {
		if err := c.open(cpu); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// attr describes the event: cycles where there is a PMU, so that time with
// interrupts off is seen as well, else the CPU clock.
func (c *cpuEvents) attr() *unix.PerfEventAttr {
	if c.hardware {
		return &unix.PerfEventAttr{
			Type: unix.PERF_TYPE_HARDWARE, Config: unix.PERF_COUNT_HW_CPU_CYCLES, Sample: uint64(c.hz), //nolint:gosec // positive
			Bits: unix.PerfBitFreq | unix.PerfBitDisabled,
		}
	}
	return &unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK,
		Sample: uint64(time.Second) / uint64(c.hz), //nolint:gosec // positive
		Bits:   unix.PerfBitDisabled | unix.PerfBitExcludeIdle,
	}
}

// hasPMU reports whether hardware cycles can be counted.
func hasPMU(cpu int) bool {
	attr := &unix.PerfEventAttr{
		Type: unix.PERF_TYPE_HARDWARE, Config: unix.PERF_COUNT_HW_CPU_CYCLES, Sample: 1,
		Bits: unix.PerfBitFreq | unix.PerfBitDisabled,
	}
	fd, err := unix.PerfEventOpen(attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

func (c *cpuEvents) open(cpu int) error {
	fd, err := unix.PerfEventOpen(c.attr(), -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		if isRefusal(err) {
			return explainRefusal(fmt.Sprintf("not allowed to sample CPU %d", cpu), "perf_event_open", err, capPerfmon)
		}
		return fmt.Errorf("open sampling event on CPU %d: %w", cpu, err)
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, c.prog); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("attach program to sampling event of CPU %d: %w", cpu, err)
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("enable sampling event of CPU %d: %w", cpu, err)
	}
	c.fds[cpu] = fd
	return nil
}

// Len returns how many CPUs are sampled.
func (c *cpuEvents) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.fds)
}

// Kind names the event.
func (c *cpuEvents) Kind() string {
	if c.hardware {
		return "cycles"
	}
	return "cpu-clock"
}

// followHotplug opens events on CPUs that come and closes those of CPUs that go.
func (c *cpuEvents) followHotplug(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(hotplugInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		online, err := readCPUs()
		if err != nil {
			log.Warn("CPUs that come and go are not followed", "error", err)
			return
		}
		c.update(online, log)
	}
}

func (c *cpuEvents) update(online []int, log *slog.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	is := make(map[int]bool, len(online))
	for _, cpu := range online {
		is[cpu] = true
		if _, ok := c.fds[cpu]; ok {
			continue
		}
		if err := c.open(cpu); err != nil {
			if !c.refused[cpu] {
				c.refused[cpu] = true
				log.Warn("a CPU that came online is not sampled", "cpu", cpu, "error", err)
			}
			continue
		}
		delete(c.refused, cpu)
		log.Info("CPU came online", "cpu", cpu)
	}
	for cpu, fd := range c.fds {
		if !is[cpu] {
			_ = unix.Close(fd)
			delete(c.fds, cpu)
			log.Info("CPU went offline", "cpu", cpu)
		}
	}
	maps.DeleteFunc(c.refused, func(cpu int, _ bool) bool { return !is[cpu] })
	c.unsampled.Set(float64(len(c.refused)))
}

// Close stops sampling.
func (c *cpuEvents) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cpu, fd := range c.fds {
		_ = unix.Close(fd)
		delete(c.fds, cpu)
	}
}

func readCPUs() ([]int, error) {
	b, err := os.ReadFile(onlineCPUs)
	if err != nil {
		return nil, fmt.Errorf("read list of CPUs: %w", err)
	}
	return parseCPUs(strings.TrimSpace(string(b)))
}

// parseCPUs reads a list such as 0-3,5.
func parseCPUs(list string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(list, ",") {
		lo, hi, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(lo)
		if err != nil {
			return nil, fmt.Errorf("list of CPUs %q: %w", list, err)
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(hi); err != nil {
				return nil, fmt.Errorf("list of CPUs %q: %w", list, err)
			}
		}
		if first < 0 || last < first || last > 1<<16 {
			return nil, fmt.Errorf("list of CPUs %q: bad range %q", list, part)
		}
		for cpu := first; cpu <= last; cpu++ {
			out = append(out, cpu)
		}
	}
	return out, nil
}
