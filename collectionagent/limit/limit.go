// SPDX-License-Identifier: Apache-2.0

// Package limit bounds how fast projects and hosts may send.
//
// Each has a token bucket per resource. A request takes what it costs as long
// as the buckets are not in debt, however much that is: so a request of any size
// passes when its turn has come, and the rates hold on average. Whoever is
// refused is told how long the debt lasts.
//
// How many hosts are remembered is bounded; those that rest are forgotten.
package limit

import (
	"fmt"
	"sync"
	"time"
)

// Amount is what a request costs, or a rate of it per second. In a rate, 0 is
// without limit.
type Amount struct {
	// Bytes of requests, uncompressed.
	Bytes int64
	// Samples are rows.
	Samples int64
	// Series that were not seen lately.
	Series int64
}

// Config holds the limits.
type Config struct {
	// Host and Project are the rates of one host and of one project.
	Host, Project Amount
	// HostsPerProject is how many hosts of a project may send within Idle. 0: no limit.
	HostsPerProject int
	// MaxHosts is how many hosts of all projects are remembered. Default 100000,
	// about 40 MiB. More of them are refused until others rested for Idle.
	MaxHosts int
	// Burst is for how long a host or project may go beyond its rate after a rest. Default 10 s.
	Burst time.Duration
	// Idle is after what time a host that sends nothing is forgotten. Default 1 h.
	Idle time.Duration
	// Now defaults to time.Now.
	Now func() time.Time
}

// Exceeded says which limit stands against a request.
type Exceeded struct {
	// Limit names the limit: bytes, samples, series or hosts.
	Limit string
	// Scope is host or project, Name which one; or server, for all projects together.
	Scope, Name string
	// Value of the limit: per second, except for hosts.
	Value int64
	// Wait is how long until the limit allows a request again.
	Wait time.Duration
}

// Error implements error.
func (e *Exceeded) Error() string {
	switch {
	case e.Scope == "server":
		return fmt.Sprintf("all projects together have the limit of %d hosts that send", e.Value)
	case e.Limit == "hosts":
		return fmt.Sprintf("project %q has its limit of %d hosts that send", e.Name, e.Value)
	}
	return fmt.Sprintf("%s %q sends more than its limit of %d %s per second", e.Scope, e.Name, e.Value, e.Limit)
}

// Limiter applies limits. It is safe for concurrent use.
type Limiter struct {
	cfg Config

	mu       sync.Mutex
	projects map[string]*project
	hosts    int
	swept    time.Time
}

type project struct {
	buckets
	hosts map[string]*buckets
}

// buckets are those of one host or project.
type buckets struct {
	bytes, samples, series float64 // tokens
	at                     time.Time
}

// New returns a limiter without history.
func New(cfg Config) *Limiter {
	if cfg.MaxHosts == 0 {
		cfg.MaxHosts = 100_000
	}
	if cfg.Burst == 0 {
		cfg.Burst = 10 * time.Second
	}
	if cfg.Idle == 0 {
		cfg.Idle = time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Limiter{cfg: cfg, projects: make(map[string]*project), swept: cfg.Now()}
}

// Allow takes the cost of a request from the buckets of its host and project,
// or says which limit stands against it and takes nothing.
func (l *Limiter) Allow(projectName, hostName string, cost Amount) *Exceeded {
	return l.AllowPart(projectName, hostName, cost, nil)
}

// Admitted are the hosts of which parts of a request were allowed, and with them their project. It
// is used by one goroutine at a time.
type Admitted map[string]struct{}

// AllowPart is Allow for a part of a request. What those before it took does not stand against it:
// a request that is refused is sent again as a whole. If it is allowed its host is added to admitted,
// unless that is nil.
func (l *Limiter) AllowPart(projectName, hostName string, cost Amount, admitted Admitted) *Exceeded {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	p, h, e := l.find(projectName, hostName, now)
	if e != nil {
		return e
	}
	l.refill(h, &l.cfg.Host, now)
	l.refill(&p.buckets, &l.cfg.Project, now)
	if _, ok := admitted[hostName]; !ok {
		if e := h.debt(&l.cfg.Host, &cost, "host", hostName); e != nil {
			return e
		}
	}
	if len(admitted) == 0 {
		if e := p.debt(&l.cfg.Project, &cost, "project", projectName); e != nil {
			return e
		}
	}
	if admitted != nil {
		admitted[hostName] = struct{}{}
	}
	h.take(&cost)
	p.take(&cost)
	return nil
}

// find returns the project and the host, new ones when they are not known.
func (l *Limiter) find(projectName, hostName string, now time.Time) (*project, *buckets, *Exceeded) {
	if now.Sub(l.swept) > l.cfg.Idle/8 {
		l.sweep(now)
	}
	p := l.projects[projectName]
	if p != nil && p.hosts[hostName] != nil {
		return p, p.hosts[hostName], nil
	}
	e := Exceeded{Limit: "hosts", Wait: l.cfg.Idle / 60}
	if l.cfg.HostsPerProject > 0 && p != nil && len(p.hosts) >= l.cfg.HostsPerProject {
		e.Scope, e.Name, e.Value = "project", projectName, int64(l.cfg.HostsPerProject)
		return nil, nil, &e
	}
	if l.hosts >= l.cfg.MaxHosts {
		e.Scope, e.Value = "server", int64(l.cfg.MaxHosts)
		return nil, nil, &e
	}
	if p == nil {
		p = &project{buckets: filled(&l.cfg.Project, l.cfg.Burst, now), hosts: make(map[string]*buckets)}
		l.projects[projectName] = p
	}
	h := filled(&l.cfg.Host, l.cfg.Burst, now)
	p.hosts[hostName] = &h
	l.hosts++
	return p, &h, nil
}

// sweep forgets the hosts that rest, and projects without hosts.
func (l *Limiter) sweep(now time.Time) {
	l.swept = now
	for name, p := range l.projects {
		for host, b := range p.hosts {
			if now.Sub(b.at) > l.cfg.Idle {
				delete(p.hosts, host)
				l.hosts--
			}
		}
		if len(p.hosts) == 0 {
			delete(l.projects, name)
		}
	}
}

// Hosts returns how many hosts are remembered.
func (l *Limiter) Hosts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hosts
}

// filled returns buckets that are full.
func filled(rate *Amount, burst time.Duration, now time.Time) buckets {
	s := burst.Seconds()
	return buckets{
		bytes: float64(rate.Bytes) * s, samples: float64(rate.Samples) * s, series: float64(rate.Series) * s, at: now,
	}
}

// refill adds what came since the last time.
func (l *Limiter) refill(b *buckets, rate *Amount, now time.Time) {
	passed := max(now.Sub(b.at), 0).Seconds() // a clock may step back
	b.at = now
	burst := l.cfg.Burst.Seconds()
	add := func(tokens *float64, rate int64) {
		*tokens = min(*tokens+float64(rate)*passed, float64(rate)*burst)
	}
	add(&b.bytes, rate.Bytes)
	add(&b.samples, rate.Samples)
	add(&b.series, rate.Series)
}

// debt returns the limit that stands longest against a request.
func (b *buckets) debt(rate, cost *Amount, scope, name string) (worst *Exceeded) {
	check := func(limit string, tokens float64, rate, cost int64) {
		if rate <= 0 || cost <= 0 || tokens > 0 {
			return
		}
		wait := time.Duration((1 - tokens) / float64(rate) * float64(time.Second))
		if worst == nil || wait > worst.Wait {
			worst = &Exceeded{Limit: limit, Scope: scope, Name: name, Value: rate, Wait: wait}
		}
	}
	check("bytes", b.bytes, rate.Bytes, cost.Bytes)
	check("samples", b.samples, rate.Samples, cost.Samples)
	check("series", b.series, rate.Series, cost.Series)
	return worst
}

// take takes the cost, into debt if need be.
func (b *buckets) take(cost *Amount) {
	b.bytes -= float64(cost.Bytes)
	b.samples -= float64(cost.Samples)
	b.series -= float64(cost.Series)
}
