// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf"
)

// Options say whom to ask and what to tell. The zero value asks nobody.
type Options struct {
	// Sockets are those of runtimes: "auto" for the well-known ones that exist, "off" or
	// none for none, or paths. What a path speaks is told by its name, or by "docker:" or
	// "cri:" in front of it.
	Sockets []string
	Kubelet KubeletOptions
	// Labels and PodLabels are the keys of labels of containers and pods that become
	// labels of samples. Others do not leave the host, but for what names a service, a
	// project of Compose, or a pod.
	Labels, PodLabels []string
	// MaxContainers and MaxBytes bound what is remembered; 4,096 and 4 MiB if 0.
	MaxContainers, MaxBytes int
	// Getenv tells NODE_IP and NODE_NAME; os.Getenv if nil.
	Getenv func(string) string
	// Logger gets a line when a source begins or ceases to answer; nil for none.
	Logger *slog.Logger
	// Registerer gets the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Directory knows containers. It is safe for concurrent use.
type Directory struct {
	log     *slog.Logger
	metrics *metrics
	askers  []*asker
	stop    context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	cache *cache
	// described are processes by what they were before, so that one process has one
	// value for as long as nothing else is found out, as everywhere. Those that were not
	// asked for since the last generation are in older.
	described, older map[*libpf.Process]description
}

// description is what became of a process, and by which knowledge.
type description struct {
	known   *container
	process *libpf.Process
}

// maxDescribed bounds Directory.described and older: of 2,048 processes, with what became of
// them. What is forgotten is made again.
const maxDescribed = 4096

// New returns a directory. It opens nothing; [Directory.Start] does, when there is a
// reason. Errors are about the options and name the flag.
func New(o Options) (*Directory, error) {
	w := newWanted(o.Labels, o.PodLabels)
	sources, err := newSources(&o, w)
	if err != nil {
		return nil, err
	}
	optional := optionalSockets(o.Sockets)
	d := &Directory{
		log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), stop: func() {},
		described: map[*libpf.Process]description{},
		cache:     newCache(cmp.Or(o.MaxContainers, 4096), cmp.Or(o.MaxBytes, 4<<20), len(sources)),
	}
	d.metrics = newMetrics(d)
	if err := d.metrics.register(o.Registerer); err != nil {
		return nil, err
	}
	for i, s := range sources {
		a := newAsker(s, d, i)
		a.optional = optional[s.where()]
		d.askers = append(d.askers, a)
	}
	return d, nil
}

// newSources makes the sources that the options name.
func newSources(o *Options, w *wanted) ([]source, error) {
	getenv := o.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	sockets, err := parseSockets(o.Sockets)
	if err != nil {
		return nil, fmt.Errorf("-container-sockets: %w", err)
	}
	var sources []source
	for _, s := range sockets {
		if s.kind == kindDocker {
			sources = append(sources, newDocker(s.path, w))
		} else {
			sources = append(sources, newCRI(s.path, w))
		}
	}
	k, err := newKubelet(o.Kubelet, getenv, w)
	if err != nil {
		return nil, fmt.Errorf("-kubelet: %w", err)
	}
	if k != nil {
		sources = append(sources, k)
	}
	return sources, nil
}

// Start lets goroutines ask until Close. It must be called once at most.
func (d *Directory) Start() {
	ctx, stop := context.WithCancel(context.Background())
	d.mu.Lock()
	d.stop = stop
	d.mu.Unlock()
	for _, a := range d.askers {
		d.running.Go(func() { a.run(ctx) })
	}
}

// Close ends all that Start began, and waits for it.
func (d *Directory) Close() {
	d.mu.Lock()
	stop := d.stop
	d.mu.Unlock()
	stop()
	d.running.Wait()
}

// Want says that a container has processes that are profiled. It returns at once.
func (d *Directory) Want(id string) {
	if len(d.askers) > 0 && isID(id) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.find(id)
	}
}

// find returns what is known of a container, nil for nothing, and sees to it that
// the sources are asked when that is due. d.mu must be held.
func (d *Directory) find(id string) *container {
	known, ask := d.cache.find(id)
	if ask {
		for _, a := range d.askers {
			a.want(id)
		}
	}
	return known
}

// Describe returns the process with what is known of its container at the moment: p
// itself if that is nothing. It returns at once, and does not change p.
func (d *Directory) Describe(p *libpf.Process) *libpf.Process {
	if len(d.askers) == 0 || !isID(p.ContainerID) {
		return p
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.find(p.ContainerID)
	if known == nil {
		return p
	}
	if e, ok := d.described[p]; ok && e.known == known {
		return e.process
	}
	e, ok := d.older[p]
	if !ok || e.known != known {
		e = description{known, known.describe(p)}
	}
	if len(d.described) >= maxDescribed-1 {
		d.older, d.described = d.described, make(map[*libpf.Process]description, maxDescribed)
	}
	d.described[p] = e
	// A sample that was described and could not be delivered comes again.
	d.described[e.process] = e
	return e.process
}

// learn is called by askers with what their source tells.
func (d *Directory) learn(by int, id string, c *container) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cache.learn(by, id, c)
}

// knows reports whether a source has told of a container.
func (d *Directory) knows(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cache.has(id)
}

// Known returns how many containers are known.
func (d *Directory) Known() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cache.known
}

// evicted returns how many containers were forgotten to make room.
func (d *Directory) evicted() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cache.evicted
}

// Status says how it stands with each source that is there or was asked for.
func (d *Directory) Status() []Status {
	var out []Status
	for _, a := range d.askers {
		if s := a.status(); !a.optional || s.State != reasonAbsent {
			out = append(out, s)
		}
	}
	return slices.Clip(out)
}
