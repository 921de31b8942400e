// SPDX-License-Identifier: Apache-2.0

// Package workload makes the samples that stores are measured with: the same
// ones in every run, for any number of hosts and any length of time, and in the
// shapes that this project and others take in.
//
// A host runs 20 services of very different size. Their stacks are about 30 deep,
// share prefixes as stacks of real programs do, and are drawn with weights of a
// Zipf distribution; so are the functions that they are made of.
package workload

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"sort"
)

// WindowSeconds is the time in which equal samples of a service are counted together.
const WindowSeconds = 10

// PeriodNs is the time that an observation stands for: 20 are made a second on each core.
const PeriodNs = 50_000_000

// Config is the size of a workload.
type Config struct {
	Seed      int64
	Services  int
	Functions int
	Shared    int // functions of libraries that all services use
	Stacks    int // of all services
	Depth     int // of stacks, on average
	PerSecond int // observations of a host
}

// Default returns the size that other stores were measured with.
func Default() Config {
	return Config{Seed: 42, Services: 20, Functions: 2000, Shared: 600, Stacks: 20_000, Depth: 30, PerSecond: 1000}
}

// Function is a function of a program.
type Function struct {
	Name, File string
	StartLine  int64
}

// Location is a place in a function, in the executable of a service.
type Location struct {
	Function int
	Service  int
	Line     int64
	Address  uint64
}

// Stack is a stack of a service, leaf first, as indexes of locations.
type Stack struct {
	Service   int
	Locations []int32
}

// Workload is safe for concurrent use.
type Workload struct {
	Config    Config
	Services  []string
	Functions []Function
	Locations []Location
	Stacks    []Stack
	share     []float64   // of the observations, by service
	byService [][]int     // stacks
	upTo      [][]float64 // cumulated weights of stacks, by service
}

// New makes a workload. It is the same for the same configuration.
func New(c Config) *Workload {
	r := rand.New(rand.NewSource(c.Seed)) //nolint:gosec // is to be the same each time
	w := &Workload{Config: c}
	w.services()
	own := w.functions()
	b := &builder{w: w, r: r, own: own, known: make(map[[3]int]int32)}
	w.byService, w.upTo = make([][]int, c.Services), make([][]float64, c.Services)
	for s := range c.Services {
		sum := 0.0
		for i, path := range b.paths(s) {
			slices.Reverse(path)
			w.byService[s] = append(w.byService[s], len(w.Stacks))
			w.Stacks = append(w.Stacks, Stack{Service: s, Locations: path})
			sum += 1 / math.Pow(float64(i+1), 0.9)
			w.upTo[s] = append(w.upTo[s], sum)
		}
		for i := range w.upTo[s] {
			w.upTo[s][i] /= sum
		}
	}
	return w
}

// services names the services and gives each its share.
func (w *Workload) services() {
	kinds := []string{"cart", "checkout", "search", "user", "pay", "mail", "ads", "geo", "feed", "img"}
	total := 0.0
	for i := range w.Config.Services {
		w.Services = append(w.Services, fmt.Sprintf("shop-%s-%02d", kinds[i%10], i))
		w.share = append(w.share, 1/math.Pow(float64(i+1), 0.8))
		total += w.share[i]
	}
	for i := range w.share {
		w.share[i] /= total
	}
}

// functions makes the functions, and returns those of each service's own.
func (w *Workload) functions() (own [][]int) {
	c := w.Config
	libraries := []string{
		"runtime", "net/http", "google.golang.org/grpc", "encoding/json", "github.com/jackc/pgx/v5", "crypto/tls", "bufio", "compress/flate",
	}
	for i := range c.Shared {
		l := libraries[i%len(libraries)]
		w.Functions = append(w.Functions, Function{
			Name: fmt.Sprintf("%s.(*Type%02d).method%03d", l, i%17, i), File: fmt.Sprintf("/usr/local/go/src/%s/file%02d.go", l, i%23),
			StartLine: int64(10 + i%900),
		})
	}
	own = make([][]int, c.Services)
	for s := range own {
		for k := range (c.Functions - c.Shared) / c.Services {
			own[s] = append(own[s], len(w.Functions))
			w.Functions = append(w.Functions, Function{
				Name:      fmt.Sprintf("github.com/acme/%s/internal/pkg%02d.(*Handler).Process%03d", w.Services[s], k%9, k),
				File:      fmt.Sprintf("/src/%s/internal/pkg%02d/handler%02d.go", w.Services[s], k%9, k%13),
				StartLine: int64(10 + k*7),
			})
		}
	}
	return own
}

// builder makes the stacks.
type builder struct {
	w     *Workload
	r     *rand.Rand
	own   [][]int
	known map[[3]int]int32 // function, variant, service
}

func (b *builder) location(function, variant, service int) int32 {
	key := [3]int{function, variant, service}
	if i, ok := b.known[key]; ok {
		return i
	}
	i := int32(len(b.w.Locations)) //nolint:gosec // a few thousand
	b.w.Locations = append(b.w.Locations, Location{
		Function: function, Service: service, Line: b.w.Functions[function].StartLine + int64(variant*3+1),
		Address: 0x400000 + uint64(function)*512 + uint64(variant)*32 + uint64(service+1)<<32, //nolint:gosec // not negative
	})
	b.known[key] = i
	return i
}

// paths makes the stacks of a service, root first.
func (b *builder) paths(service int) [][]int32 {
	c, r := b.w.Config, b.r
	shared := rand.NewZipf(r, 1.2, 8, uint64(c.Shared-1))                       //nolint:gosec // positive
	own := rand.NewZipf(r, 1.1, 8, uint64((c.Functions-c.Shared)/c.Services-1)) //nolint:gosec // positive
	pick := func() int32 {
		if r.Float64() < 0.45 {
			return b.location(b.own[service][own.Uint64()], r.Intn(3), service)
		}
		return b.location(int(shared.Uint64()), r.Intn(2), service) //nolint:gosec // small
	}
	seen := make(map[string]bool)
	var paths [][]int32
	var key []byte
	root := []int32{b.location(0, 0, service), b.location(b.own[service][0], 0, service)}
	for len(paths) < c.Stacks/c.Services {
		depth := min(max(int(float64(c.Depth)+r.NormFloat64()*float64(c.Depth)/4), 6), 64)
		path := slices.Clone(root)
		if len(paths) > 0 && r.Float64() < 0.9 {
			other := paths[r.Intn(len(paths))]
			path = slices.Clone(other[:min(2+r.Intn(len(other)-2), depth-1)])
		}
		for len(path) < depth {
			path = append(path, pick())
		}
		key = key[:0]
		for _, l := range path {
			key = binary.LittleEndian.AppendUint32(key, uint32(l)) //nolint:gosec // an index
		}
		if seen[string(key)] {
			continue
		}
		seen[string(key)] = true
		paths = append(paths, path)
	}
	return paths
}

// Sample is a stack that was observed in a window.
type Sample struct {
	Stack int
	Count int64
	Times []uint32 // of the observations, in µs since the start of the window
}

// Window returns the samples of a service of a host in a window, by stack.
func (w *Workload) Window(host, window, service int) []Sample {
	c := w.Config
	r := rand.New(rand.NewSource(c.Seed*1_000_003 + int64(host)*7_919_001 + int64(window)*1009 + int64(service))) //nolint:gosec // as in New
	n := int(float64(c.PerSecond*WindowSeconds)*w.share[service]*(0.8+0.4*r.Float64()) + 0.5)
	found := make(map[int]int, n/2)
	var out []Sample
	for range n {
		k := min(sort.SearchFloat64s(w.upTo[service], r.Float64()), len(w.upTo[service])-1)
		stack := w.byService[service][k]
		i, ok := found[stack]
		if !ok {
			i = len(out)
			found[stack] = i
			out = append(out, Sample{Stack: stack})
		}
		out[i].Count++
		out[i].Times = append(out[i].Times, uint32(r.Intn(WindowSeconds*1_000_000))) //nolint:gosec // bounded
	}
	for i := range out {
		slices.Sort(out[i].Times)
	}
	slices.SortFunc(out, func(a, b Sample) int { return a.Stack - b.Stack })
	return out
}

// HostName returns the name of a host.
func HostName(host int) string { return fmt.Sprintf("host-%04d", host) }

// Draw draws an observation: its service and its stack.
func (w *Workload) Draw(r *rand.Rand) (service, stack int) {
	u := r.Float64()
	for service < len(w.share)-1 && u >= w.share[service] {
		u -= w.share[service]
		service++
	}
	k := min(sort.SearchFloat64s(w.upTo[service], r.Float64()), len(w.upTo[service])-1)
	return service, w.byService[service][k]
}
