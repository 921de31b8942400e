// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"cmp"
	"sync"

	"github.com/strobe-profiler/strobe/libpf"
)

// maxPlainProcesses bounds the memory of plainProcesses; over it, it starts anew.
const maxPlainProcesses = 4096

// plainProcesses makes processes out of the three names that ReportCountForTrace
// is given. Equal names give the same process, so that samples of them can be summed.
type plainProcesses struct {
	mu    sync.Mutex
	known map[[3]string]*libpf.Process
}

func newPlainProcesses() *plainProcesses {
	return &plainProcesses{known: map[[3]string]*libpf.Process{}}
}

func (p *plainProcesses) get(comm, pod, container string) *libpf.Process {
	key := [3]string{comm, pod, container}
	p.mu.Lock()
	defer p.mu.Unlock()
	if have, ok := p.known[key]; ok {
		return have
	}
	if len(p.known) >= maxPlainProcesses {
		clear(p.known)
	}
	made := &libpf.Process{
		Name: comm, PodName: pod, ContainerName: container, Service: cmp.Or(container, pod, comm, "unknown"),
	}
	p.known[key] = made
	return made
}
