// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"fmt"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// load loads a runtime's eBPF program when the first process needs it.
func (m *runtimeManager) load(r interpreter.Runtime) (*ebpf.Collection, error) {
	m.loading.Lock()
	defer m.loading.Unlock()
	if c := m.programs[r.ID()]; c != nil {
		return c, nil
	}
	if err := m.loadErr[r.ID()]; err != nil {
		return nil, err
	}
	begin := time.Now()
	c, err := m.k.loadRuntime(r)
	if err != nil {
		err = &interpreter.UnsupportedError{Runtime: r.Name(), Reason: "its eBPF program was refused: " + firstLine(err)}
		m.loadErr[r.ID()] = err
		m.metrics.runtimeUnsupported(r.Name(), "program_refused")
		m.log.Warn("a runtime cannot be unwound: its functions are missing from profiles", "runtime", r.Name(), "reason", err)
		return nil, err
	}
	m.programs[r.ID()] = c
	m.log.Info("runtime's program loaded", "runtime", r.Name(), "took", time.Since(begin).Round(time.Millisecond))
	return c, nil
}

// mapsOf returns the maps of a runtime's object, nil while it is not loaded.
func (m *runtimeManager) mapsOf(id interpreter.ID) map[string]*ebpf.Map {
	m.loading.Lock()
	defer m.loading.Unlock()
	if c := m.programs[id]; c != nil {
		return c.Maps
	}
	return nil
}

// close unloads all programs and forgets all processes.
func (m *runtimeManager) close() {
	m.mu.Lock()
	processes := m.processes
	m.processes = map[processKey]*runtimeProcess{}
	m.mu.Unlock()
	for _, p := range processes {
		p.close()
	}
	m.loading.Lock()
	defer m.loading.Unlock()
	for id, c := range m.programs {
		_ = m.k.objs.RuntimePrograms.Delete(uint32(id))
		c.Close()
	}
	clear(m.programs)
}

// loadRuntime loads a runtime's object onto the maps of the sampler's, and makes
// its program known to the sampler.
func (k *kernelSide) loadRuntime(r interpreter.Runtime) (*ebpf.Collection, error) {
	return k.loadRuntimeLogged(r, 0)
}

func (k *kernelSide) loadRuntimeLogged(r interpreter.Runtime, log ebpf.LogLevel) (*ebpf.Collection, error) {
	spec, err := r.Spec()
	if err != nil {
		return nil, fmt.Errorf("read eBPF object: %w", err)
	}
	for name, value := range k.variables {
		if v := spec.Variables[name]; v != nil {
			if err := v.Set(value); err != nil {
				return nil, fmt.Errorf("set eBPF variable %q: %w", name, err)
			}
		}
	}
	shared := map[string]*ebpf.Map{}
	for name, m := range k.maps {
		s := spec.Maps[name]
		if s == nil || strings.HasPrefix(name, ".rodata") || name == ".bss" || name == ".data" {
			continue
		}
		s.MaxEntries = m.MaxEntries() // set by the configuration
		shared[name] = m
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: shared, Programs: ebpf.ProgramOptions{LogLevel: log},
	})
	if err != nil {
		return nil, err
	}
	name := "unwind_" + r.Name()
	p := c.Programs[name]
	if p == nil {
		c.Close()
		return nil, fmt.Errorf("eBPF object has no program %s", name)
	}
	if err := k.objs.RuntimePrograms.Put(uint32(r.ID()), p); err != nil {
		c.Close()
		return nil, fmt.Errorf("make program %s known: %w", name, err)
	}
	return c, nil
}
