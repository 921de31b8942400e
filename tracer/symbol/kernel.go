// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf"
)

// ErrKernelAddressesHidden is returned (wrapped) when the kernel shows its
// symbols without their addresses.
var ErrKernelAddressesHidden = errors.New("the kernel hides the addresses of its symbols: " +
	"run as root or with CAP_SYSLOG, or set sysctl kernel.kptr_restrict to 0 or 1")

// KernelName is the name of the kernel image among the executables.
const KernelName = "[kernel.kallsyms]"

// bpfName is the module of BPF programs and of what belongs to them.
const bpfName = "[bpf]"

const (
	// kernelRecheck is how often it is looked whether modules came or went, and
	// kernelReload how soon after a reading an unknown address may cause the
	// next one: BPF programs come and go without a module.
	kernelRecheck = 10 * time.Second
	kernelReload  = 10 * time.Second
	// kernelFresh is how long names of BPF programs are believed: a new one may
	// lie where an old one was, and nothing tells.
	kernelFresh = 5 * time.Minute
	// maxBPFProgram bounds the code of a BPF program or trampoline, in bytes,
	// as kallsyms does not tell sizes. Few are larger.
	maxBPFProgram = 64 << 10
	// maxKernelTable bounds the memory of the table, in bytes.
	maxKernelTable = 64 << 20
	// maxKernelNotes bounds a file of notes, in bytes.
	maxKernelNotes = 64 << 10
)

// KernelConfig configures a [Kernel]. The zero value works.
type KernelConfig struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Root is the folder that proc and sys are in; / if "".
	Root string
}

// KernelSymbol is what is known of an address of the kernel.
type KernelSymbol struct {
	// Module is [kernel.kallsyms] for the image, else [name]; BPF programs and
	// what belongs to them are in [bpf].
	Module string
	// FileID stands for this build of the module, or for this BPF program.
	FileID libpf.FileID
	// BuildID is the module's GNU build ID, "" when it has none.
	BuildID string
	// Offset counts from the start of the image's or the module's text or from
	// that of the BPF program. It is the same after a reboot.
	Offset uint64
	// Function is the name, module+0xOFFSET if there is none. SystemName is as
	// the kernel shows it, when that differs.
	Function, SystemName string
}

// Kernel names addresses of the kernel, of its modules and of BPF programs. It
// is safe for concurrent use.
type Kernel struct {
	log  *slog.Logger
	root string
	now  func() time.Time

	reloads *prometheus.CounterVec
	errors  *prometheus.CounterVec

	mu      sync.Mutex
	state   *kernelState
	read    time.Time // when kallsyms was read last
	checked time.Time // when the list of modules was looked at last
	sum     uint64    // of the list of modules
	seed    maphash.Seed
}

// kernelState is what was read at one time. It never changes.
type kernelState struct {
	table   *table
	modules []kernelModule // sorted by start; the image is not among them
	text    []kernelModule // the ranges of the image
	base    uint64         // that the offsets of the image count from
	ids     map[string]libpf.Executable
	image   libpf.Executable
}

// NewKernel reads the symbols of the kernel. The error wraps
// [ErrKernelAddressesHidden] when the kernel does not show them, and
// [fs.ErrNotExist] when it was built without.
func NewKernel(cfg KernelConfig) (*Kernel, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Root == "" {
		cfg.Root = "/"
	}
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "strobe_agent", Name: name, Help: help}
	}
	k := &Kernel{
		log: cfg.Logger, root: cfg.Root, now: time.Now, seed: maphash.MakeSeed(),
		reloads: prometheus.NewCounterVec(opts("kernel_symbol_reloads_total",
			"How often the kernel's symbols were read, by what caused it."), []string{"cause"}),
		errors: prometheus.NewCounterVec(opts("kernel_symbol_errors_total",
			"What was wrong with the kernel's symbols, by reason."), []string{"reason"}),
	}
	if err := k.reload("start"); err != nil {
		return nil, err
	}
	register(cfg.Registerer, cfg.Logger, k.reloads, k.errors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "strobe_agent", Name: "kernel_symbol_bytes", Help: "Memory that the kernel's symbols take, in bytes.",
	}, func() float64 { return float64(k.Bytes()) }))
	return k, nil
}

// Bytes returns the memory that the table takes, in bytes.
func (k *Kernel) Bytes() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.table.bytes()
}

// Lookup returns what is at an address of the kernel. ok is false when the
// address lies in nothing that is known. When modules came or went, or the
// address is unknown, the symbols are read again, at most every ten seconds.
func (k *Kernel) Lookup(addr uint64) (sym KernelSymbol, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if now.Sub(k.checked) >= kernelRecheck {
		k.checked = now
		if sum := k.modulesSum(); sum != k.sum {
			k.reloadAndLog("modules")
		}
	}
	sym, ok = k.state.lookup(addr)
	age := now.Sub(k.read)
	switch {
	case !ok && addr >= kernelHalf && age >= kernelReload:
		k.reloadAndLog("unknown_address")
	case ok && age >= kernelFresh && sym.Module == bpfName:
		k.reloadAndLog("bpf")
	default:
		return sym, ok
	}
	return k.state.lookup(addr)
}

// Executables returns the kernel image and the modules. BPF programs are not
// among them: they have no name that stays.
func (k *Kernel) Executables() []libpf.Executable {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := []libpf.Executable{k.state.image}
	for _, m := range k.state.modules {
		all = append(all, k.state.ids[m.name])
	}
	return all
}

func (k *Kernel) path(name string) string { return filepath.Join(k.root, name) }

// modulesSum returns a sum over the list of modules.
func (k *Kernel) modulesSum() uint64 {
	b, err := os.ReadFile(k.path("proc/modules"))
	if err != nil {
		return 0 // a kernel without modules
	}
	return maphash.Bytes(k.seed, b)
}

// reloadAndLog reads again and keeps what was known if that does not work.
func (k *Kernel) reloadAndLog(cause string) {
	if err := k.reload(cause); err != nil {
		k.log.Warn("read kernel symbols", "error", err)
	}
}

// reload reads the symbols. The caller holds mu or is the only one.
func (k *Kernel) reload(cause string) error {
	k.read = k.now()
	k.checked = k.read
	k.sum = k.modulesSum()
	k.reloads.WithLabelValues(cause).Inc()
	state, err := k.load()
	if err != nil {
		k.errors.WithLabelValues("read").Inc()
		return err
	}
	k.state = state
	return nil
}

// load reads everything into a new state.
func (k *Kernel) load() (*kernelState, error) {
	f, err := os.Open(k.path("proc/kallsyms"))
	if err != nil {
		return nil, fmt.Errorf("read kernel symbols: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	syms, err := parseKallsyms(f)
	if err != nil {
		return nil, err
	}
	if syms.bad > 0 {
		k.errors.WithLabelValues("line").Add(float64(syms.bad))
	}
	if syms.hidden || len(syms.symbols) == 0 {
		return nil, fmt.Errorf("read kernel symbols: %w", ErrKernelAddressesHidden)
	}
	state := &kernelState{ids: make(map[string]libpf.Executable)}
	if state.modules, err = k.readModules(); err != nil {
		return nil, err
	}
	state.text = syms.imageText()
	state.base = syms.text
	if state.base == 0 {
		state.base = state.text[0].start
	}
	spans := syms.spans(state.endOf)
	state.table, err = newTable(spans, maxKernelTable, func(id uint32) []byte {
		s := &syms.symbols[id]
		name := syms.rawName(s)
		// BPF programs and the like are told apart by a module in the name.
		if m := syms.modules[s.module]; m != "" && !state.isModule(m) {
			return append([]byte(m+"\t"), name...)
		}
		return name
	})
	if err != nil {
		return nil, fmt.Errorf("read kernel symbols: %w", err)
	}
	k.identify(state)
	return state, nil
}

// readModules returns the modules; a kernel without them is no error.
func (k *Kernel) readModules() ([]kernelModule, error) {
	f, err := os.Open(k.path("proc/modules"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read kernel modules: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	modules, err := parseModules(f)
	if err != nil {
		return nil, fmt.Errorf("read kernel modules: %w", err)
	}
	return modules, nil
}

// imageText returns the ranges of the image's code.
func (k *kallsyms) imageText() []kernelModule {
	var text []kernelModule
	if k.text != 0 && k.etext > k.text {
		text = append(text, kernelModule{start: k.text, end: k.etext})
	}
	if k.inittext != 0 && k.einittext > k.inittext {
		text = append(text, kernelModule{start: k.inittext, end: k.einittext})
	}
	if len(text) == 0 {
		// No linker symbols: from the first symbol to the last.
		r := kernelModule{start: math.MaxUint64}
		for i := range k.symbols {
			if k.symbols[i].module == 0 {
				r.start, r.end = min(r.start, k.symbols[i].addr), k.symbols[i].addr+1
			}
		}
		if r.end == 0 {
			r = kernelModule{start: kernelHalf, end: kernelHalf}
		}
		text = append(text, r)
	}
	return text
}

// endOf returns where symbols of a module at addr end at the latest.
func (s *kernelState) endOf(addr uint64, module string) uint64 {
	if module == "" {
		for _, r := range s.text {
			if addr >= r.start && addr < r.end {
				return r.end
			}
		}
		return addr // data and boundary symbols
	}
	if m := s.moduleAt(addr); m != nil {
		return m.end
	}
	return addr + maxBPFProgram
}

// moduleAt returns the module that has addr, nil if there is none.
func (s *kernelState) moduleAt(addr uint64) *kernelModule {
	i, found := slices.BinarySearchFunc(s.modules, addr, func(m kernelModule, a uint64) int {
		switch {
		case m.end <= a:
			return -1
		case m.start > a:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	return &s.modules[i]
}

func (s *kernelState) isModule(name string) bool {
	return slices.ContainsFunc(s.modules, func(m kernelModule) bool { return m.name == name })
}

// lookup returns what is at addr.
func (s *kernelState) lookup(addr uint64) (KernelSymbol, bool) {
	i := s.table.find(addr)
	var raw string
	if i >= 0 && s.table.names[i] != noID {
		raw = string(s.table.name(s.table.names[i]))
	}
	module, name, isOther := strings.Cut(raw, "\t")
	if isOther {
		// A BPF program, trampoline or ftrace stub: each is a file of its own.
		function, system, _ := readable(name)
		return KernelSymbol{
			Module: "[" + module + "]", FileID: libpf.FileIDFromIdentity("kernel-code", module, name),
			Offset: addr - s.table.start(i), Function: function, SystemName: system,
		}, true
	}
	var sym KernelSymbol
	if m := s.moduleAt(addr); m != nil {
		exe := s.ids[m.name]
		sym.Module, sym.FileID, sym.BuildID, sym.Offset = exe.FileName, exe.FileID, exe.BuildID, addr-m.start
	} else if s.inText(addr) {
		sym.Module, sym.FileID, sym.BuildID, sym.Offset = s.image.FileName, s.image.FileID, s.image.BuildID, addr-s.base
	} else {
		return KernelSymbol{}, false
	}
	if raw == "" {
		sym.Function = Unnamed(sym.Module, sym.Offset)
	} else {
		sym.Function, sym.SystemName, _ = readable(raw)
	}
	return sym, true
}

func (s *kernelState) inText(addr uint64) bool {
	return slices.ContainsFunc(s.text, func(r kernelModule) bool { return addr >= r.start && addr < r.end })
}

// identify gives the image and the modules their IDs.
func (k *Kernel) identify(s *kernelState) {
	release := k.readLine("proc/sys/kernel/osrelease")
	s.image = kernelExecutable(KernelName, k.buildID("sys/kernel/notes"), release)
	for _, m := range s.modules {
		notes := filepath.Join("sys/module", m.name, "notes/.note.gnu.build-id")
		s.ids[m.name] = kernelExecutable("["+m.name+"]", k.buildID(notes), release)
	}
}

// kernelExecutable returns the identity of a part of the kernel: by its build
// ID, else by the kernel's release and its name.
func kernelExecutable(name, buildID, release string) libpf.Executable {
	exe := libpf.Executable{FileName: name, BuildID: buildID}
	if buildID != "" {
		exe.FileID = libpf.FileIDFromBuildID(buildID)
	} else {
		exe.FileID = libpf.FileIDFromIdentity("kernel", release, name)
	}
	return exe
}

func (k *Kernel) readLine(name string) string {
	b, err := os.ReadFile(k.path(name))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

// buildID returns the GNU build ID in a file of ELF notes, "" if there is none.
func (k *Kernel) buildID(name string) string {
	f, err := os.Open(k.path(name))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(f, maxKernelNotes))
	if err != nil {
		return ""
	}
	return gnuBuildID(b)
}

// gnuBuildID finds the build ID among ELF notes in the machine's byte order.
func gnuBuildID(b []byte) string {
	const header, buildIDType = 12, 3
	for len(b) >= header {
		nameSize, descSize, kind := uint64(nativeUint32(b)), uint64(nativeUint32(b[4:])), nativeUint32(b[8:])
		descAt := header + (nameSize+3)&^3
		end := descAt + (descSize+3)&^3
		if descAt+descSize > uint64(len(b)) {
			return ""
		}
		if kind == buildIDType && string(b[header:header+nameSize]) == "GNU\x00" {
			return hex.EncodeToString(b[descAt : descAt+descSize])
		}
		b = b[min(end, uint64(len(b))):]
	}
	return ""
}
