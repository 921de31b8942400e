// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"container/list"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a [Registry]. Zero values are replaced by defaults.
type Options struct {
	// MaxHosts is how many hosts are remembered, MaxProjectHosts how many of one
	// project. Default 20,000 each.
	MaxHosts, MaxProjectHosts int
	// MaxBytes bounds the memory of all reports. Default 64 MiB.
	MaxBytes int
	// Keep is how long a host that reports no more is remembered. Default 24 h.
	Keep time.Duration
	// Registerer defaults to none, Now to time.Now.
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Registry holds the newest report of every host of every project. When it is
// full, the host that has been silent for longest is forgotten: of the project
// that has too many, or of the one that has most, so that no project can push
// out another that has fewer. It is safe for concurrent use.
type Registry struct {
	options   Options
	forgotten *prometheus.CounterVec

	mu       sync.Mutex
	projects map[string]*project
	hosts    int
	bytes    int
	expired  time.Time // when silent hosts were last looked for
}

// project holds the hosts of one project, the longest silent first.
type project struct {
	agents *list.List // of *Agent
	byHost map[string]*list.Element
	bytes  int
}

// New returns an empty registry. It fails when metrics cannot be registered.
func New(o Options) (*Registry, error) {
	o.MaxHosts = cmp.Or(max(o.MaxHosts, 0), 20_000)
	o.MaxProjectHosts = cmp.Or(max(o.MaxProjectHosts, 0), 20_000)
	o.MaxBytes = cmp.Or(max(o.MaxBytes, 0), 64<<20)
	o.Keep = cmp.Or(max(o.Keep, 0), 24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Registry{options: o, forgotten: newForgotten(), projects: map[string]*project{}}
	if o.Registerer != nil {
		for _, c := range []prometheus.Collector{r.forgotten, gauges{r}} {
			if err := o.Registerer.Register(c); err != nil {
				return nil, fmt.Errorf("register metrics of agents: %w", err)
			}
		}
	}
	return r, nil
}

// Note remembers a report, which replaces the one before of its host. The
// registry keeps the report's maps and lists; the caller must not change them.
func (r *Registry) Note(projectName string, report *Report) {
	now := r.options.Now()
	a := &Agent{Report: *report, Received: now}
	dropped := a.Ledger.DroppedSum()
	if dropped > 0 {
		a.LastDrop = now
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.projects[projectName]
	if p == nil {
		p = &project{agents: list.New(), byHost: map[string]*list.Element{}}
		r.projects[projectName] = p
	}
	if e, ok := p.byHost[a.HostID]; ok {
		before := e.Value.(*Agent)
		if before.RunID == a.RunID && before.Ledger.DroppedSum() == dropped {
			a.LastDrop = before.LastDrop
		}
		r.remove(p, e)
	}
	p.byHost[a.HostID] = p.agents.PushBack(a)
	r.hosts++
	r.bytes += a.size()
	p.bytes += a.size()
	if now.Sub(r.expired) >= expireInterval {
		r.expire(now)
	}
	if p.agents.Len() > r.options.MaxProjectHosts {
		r.forget(p, "project_hosts")
	}
	if r.hosts > r.options.MaxHosts {
		r.forget(r.largest(func(p *project) int { return p.agents.Len() }), "hosts")
	}
	for r.bytes > r.options.MaxBytes {
		r.forget(r.largest(func(p *project) int { return p.bytes }), "bytes")
	}
}

// Agents returns the newest reports of a project's hosts in order of their IDs.
// The caller must not change what they refer to.
func (r *Registry) Agents(projectName string) []Agent {
	r.mu.Lock()
	r.expire(r.options.Now())
	var agents []Agent
	if p := r.projects[projectName]; p != nil {
		agents = make([]Agent, 0, p.agents.Len())
		for e := p.agents.Front(); e != nil; e = e.Next() {
			agents = append(agents, *e.Value.(*Agent))
		}
	}
	r.mu.Unlock()
	slices.SortFunc(agents, func(a, b Agent) int { return cmp.Compare(a.HostID, b.HostID) })
	return agents
}

// expireInterval spares a report the look at every project.
const expireInterval = time.Minute

// expire forgets the hosts that have been silent for too long, and projects
// without hosts.
func (r *Registry) expire(now time.Time) {
	r.expired = now
	for name, p := range r.projects {
		for e := p.agents.Front(); e != nil && now.Sub(e.Value.(*Agent).Received) > r.options.Keep; e = p.agents.Front() {
			r.forget(p, "silent")
		}
		if p.agents.Len() == 0 {
			delete(r.projects, name)
		}
	}
}

// largest returns the project that has most of something.
func (r *Registry) largest(size func(*project) int) *project {
	var found *project
	for _, p := range r.projects {
		if found == nil || size(p) > size(found) {
			found = p
		}
	}
	return found
}

// forget removes the host of a project that has been silent for longest.
func (r *Registry) forget(p *project, reason string) {
	r.remove(p, p.agents.Front())
	r.forgotten.WithLabelValues(reason).Inc()
}

func (r *Registry) remove(p *project, e *list.Element) {
	a := p.agents.Remove(e).(*Agent)
	delete(p.byHost, a.HostID)
	r.hosts--
	r.bytes -= a.size()
	p.bytes -= a.size()
}
