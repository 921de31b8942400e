// SPDX-License-Identifier: Apache-2.0

//go:build linux

package arm64

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/support/vm"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

var (
	everything = flag.Bool("all", false, "run all subjects, and the runtimes")
	update     = flag.Bool("update", false, "keep what was recorded")
	suite      = flag.String("suite", "trixie", "Debian's release that has the kernel")
	only       = flag.String("only", "", "run these subjects: names with commas between")
	duration   = flag.Duration("duration", 30*time.Second, "how long to record each subject, in the guest's time")
	kept       = flag.String("keep", "", "write what was recorded to this file too")
)

// release is the release of Debian whose libraries and runtimes the guest has.
const release = "bookworm"

// quick are the subjects of an ordinary run: signed return addresses, return addresses
// in the link register, frames without frame pointer; and frame records.
var quick = []string{"arm-pac-leaf", "go-plain"}

// TestGuest records subjects in an emulated machine, and judges.
func TestGuest(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-aarch64"); err != nil {
		skip.Because(t, "needs qemu-system-arm")
	}
	names := quick
	switch {
	case *only != "":
		names = strings.Split(*only, ",")
	case *everything:
		names = slices.Sorted(maps.Keys(allExpected(t)))
		for _, name := range slices.Sorted(maps.Keys(tracertest.NotARM64)) {
			fmt.Printf("left out: %s: %s\n", name, tracertest.NotARM64[name])
		}
	}
	r := newRig(t)
	var native, onRuntimes []string
	for _, name := range names {
		if _, ok := programs[name]; ok {
			onRuntimes = append(onRuntimes, name)
		} else {
			native = append(native, name)
		}
	}
	r.build(native)
	r.addRuntimes(onRuntimes)
	b := r.boot(*duration)
	var rec recording
	for _, row := range rec.judge(t, *suite, r.names, b.folded) {
		fmt.Println(row)
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Failed)) {
		t.Errorf("%s: %s", name, strings.Join(rec.Failed[name], "; "))
	}
	if *update {
		b.keep(t, r.names, *duration)
	}
}

// rig is what a guest is made of.
type rig struct {
	t        *testing.T
	dir      string
	tree     *vm.Tree
	names    []string
	subjects []subject
}

// subject is that of the program guest.
type subject struct {
	Args, Env []string
	Says      bool
	Warm      float64
}

// Some subjects have parts that take their time by the clock, however many want the CPU:
// the loader of one that loads a library every two seconds, the monitor of Go's runtime,
// the compilers and collectors of others. As many of them as the guest has CPUs run at
// the same time, so that they have the shares that they have elsewhere; of others, more.
const togetherByClock, together = 2, 4

var byClock = []string{"c-dlopen", "c-fork", "c-threads", "go-cgo", "go-plain", "go-strip"}

// rounds returns which subjects run at the same time, those that take longest first.
func (r *rig) rounds() [][]subject {
	var two, four []subject
	for i, s := range r.subjects {
		if s.Says || slices.Contains(byClock, r.names[i]) {
			two = append(two, s)
		} else {
			four = append(four, s)
		}
	}
	return slices.AppendSeq(slices.Collect(slices.Chunk(two, togetherByClock)), slices.Chunk(four, together))
}

// lasting is how long subjects are told to run, in seconds: to the end.
const lasting = "36000"

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	tree, err := vm.NewTree(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, tree: tree}
	// The roots of threads have names in the debug files of the C library only.
	r.packages("libc6", "libc6-dbg", "libstdc++6", "libgcc-s1")
	for from, to := range map[string]string{"..": "agent", "./guest": "guest"} {
		r.goBuild(from, tree.Path("usr/bin/"+to))
	}
	return r
}

func (r *rig) goBuild(from, to string) {
	r.t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-o", to, from) //nolint:gosec // ours
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("build %s: %v\n%s", from, err, out)
	}
}

func (r *rig) packages(names ...string) {
	r.t.Helper()
	if err := r.tree.AddPackages(r.t.Context(), vm.Source{Suite: release, Arch: "arm64"}, names...); err != nil {
		r.t.Fatal(err)
	}
}

// build compiles subjects into the tree.
func (r *rig) build(names []string) {
	r.t.Helper()
	var rustc []string
	for _, name := range names {
		if name == "rust-forge" {
			rustc = r.rustc()
		}
		path := tracertest.BuildARM64(r.t, name, r.tree.Path("opt"), rustc)
		r.add(name, subject{Args: []string{"/opt/" + filepath.Base(path), lasting}})
	}
}

func (r *rig) add(name string, s subject) {
	s.Warm = allExpected(r.t)[name].Warm
	r.names = append(r.names, name)
	r.subjects = append(r.subjects, s)
}

// rustc returns the command of a compiler for arm64: Debian's for this architecture,
// with Debian's library for arm64.
func (r *rig) rustc() []string {
	r.t.Helper()
	dir := filepath.Join(r.dir, "rust")
	for arch, names := range map[string][]string{
		"amd64": {"rustc", "libstd-rust-1.63", "libllvm14"},
		"arm64": {"libstd-rust-dev", "libstd-rust-1.63"},
	} {
		debs, err := vm.Download(r.t.Context(), vm.Source{Suite: release, Arch: arch}, names...)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, deb := range debs {
			if err := vm.Unpack(r.t.Context(), deb, filepath.Join(dir, arch)); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	host := filepath.Join(dir, "amd64", "usr")
	return []string{
		"env", "LD_LIBRARY_PATH=" + host + "/lib/x86_64-linux-gnu:" + host + "/lib",
		host + "/bin/rustc", "--sysroot", filepath.Join(dir, "arm64", "usr"),
		"--target", "aarch64-unknown-linux-gnu", "-C", "linker=aarch64-linux-gnu-gcc",
	}
}

// booted is what came out of a guest.
type booted struct {
	kernel string
	folded []byte
	log    string
	result *vm.Result
}

// boot records all subjects in a guest for a time.
func (r *rig) boot(d time.Duration) *booted {
	r.t.Helper()
	rounds := r.rounds()
	spec, err := json.Marshal(rounds)
	if err == nil {
		err = os.WriteFile(r.tree.Path("etc/rounds.json"), spec, 0o644) //nolint:gosec // no secret
	}
	image := filepath.Join(r.dir, "root.img")
	if err := errors.Join(err, r.tree.Image(r.t.Context(), image)); err != nil {
		r.t.Fatal(err)
	}
	k, err := vm.Fetch(r.t.Context(), vm.Source{Suite: *suite, Arch: "arm64"})
	if err != nil {
		r.t.Fatal(err)
	}
	m := vm.Machine{Kernel: k, Root: image, MemoryMB: 2048}
	// Emulated, and beside other tests: the agent's start alone takes minutes.
	most := time.Duration(len(rounds))*(2*d+2*time.Minute) + 10*time.Minute
	ctx, cancel := context.WithTimeout(r.t.Context(), most+10*time.Minute)
	defer cancel()
	out := filepath.Join(r.dir, "out")
	var said strings.Builder
	output := io.Writer(&said)
	if testing.Verbose() { // a run of all takes long
		output = io.MultiWriter(&said, os.Stdout)
	}
	begin := time.Now()
	res, err := m.Run(ctx, vm.Command{
		Args: []string{
			"guest", "/etc/rounds.json", d.String(), "/usr/bin/agent", "record", "-F", "99", "-format", "folded", "-o", "/run/all.folded",
			// More programs than a host has that size.
			"-memory-limit", "512MiB", "-unwind-table-bytes", "128MiB",
		},
		Limit: most, Output: output, Collect: []string{"/run/all.folded"}, CollectDir: out,
	})
	if err != nil {
		r.t.Fatalf("%v\n%s", err, said.String())
	}
	b := &booted{kernel: res.Kernel, log: said.String(), result: res}
	if res.Status != 0 || res.TimedOut {
		r.t.Fatalf("status %d, timed out %v, %v\n%s\n%s", res.Status, res.TimedOut, res.Warnings, b.log, res.Console)
	}
	if b.folded, err = os.ReadFile(filepath.Join(out, "run/all.folded")); err != nil || len(b.folded) == 0 { //nolint:gosec // just collected
		r.t.Fatalf("nothing was recorded: %v\n%s", err, b.log)
	}
	if *kept != "" {
		if err := os.WriteFile(*kept, b.folded, 0o644); err != nil { //nolint:gosec // no secret
			r.t.Error(err)
		}
	}
	r.t.Logf("kernel %s: booted in %v, ran %v, %v in all", b.kernel, res.Boot.Round(time.Second), res.Run.Round(time.Second),
		time.Since(begin).Round(time.Second))
	return b
}
