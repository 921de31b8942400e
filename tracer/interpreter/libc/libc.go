// SPDX-License-Identifier: Apache-2.0

// Package libc finds where a C library keeps a thread's own data, for eBPF
// programs that look for an interpreter's state of the current thread.
package libc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// TSD says where the values of pthread_setspecific() are; struct tsd_layout of
// support/ebpf/runtime.h.
type TSD struct {
	Offset   int16
	Stride   uint8
	Indirect uint8
	Keys     uint32
}

// DTV says where the vector of thread-local blocks is; struct dtv_layout of
// support/ebpf/runtime.h.
type DTV struct {
	Offset int16
	Stride uint8
	_      uint8
}

// Layout is what is known of a C library.
type Layout struct {
	TSD TSD
	DTV DTV
	// Self is what pthread_self() returns, from the thread pointer.
	Self int64
}

// ErrNone reports a process whose C library is not known.
var ErrNone = errors.New("no C library found in the process")

var cache sync.Map // libpf.FileID → Layout or error

// Of returns the layout of the C library that a process maps. It returns
// [interpreter.ErrNotReady] while none is mapped: the loader may be about to.
func Of(p *interpreter.Process) (Layout, error) {
	var found error = interpreter.ErrNotReady
	for _, m := range p.Modules {
		base := path.Base(m.Path)
		if !isLibc(base) {
			continue
		}
		l, err := of(m.Executable)
		if err == nil {
			return l, nil
		}
		found = err
	}
	// A static program holds its C library itself.
	if errors.Is(found, interpreter.ErrNotReady) && len(p.Modules) > 0 {
		if l, err := of(p.Modules[0].Executable); err == nil {
			return l, nil
		}
	}
	return Layout{}, found
}

func isLibc(base string) bool {
	return strings.HasPrefix(base, "libc.so") || strings.HasPrefix(base, "libc-2.") ||
		strings.HasPrefix(base, "libpthread") || strings.HasPrefix(base, "ld-musl-") || strings.HasPrefix(base, "libc.musl")
}

func of(e *interpreter.Executable) (Layout, error) {
	if v, ok := cache.Load(e.FileID); ok {
		if l, ok := v.(Layout); ok {
			return l, nil
		}
		return Layout{}, v.(error) //nolint:forcetypeassert // one of the two
	}
	l, err := read(e)
	if e.FileID != (libpf.FileID{}) {
		if err != nil {
			cache.Store(e.FileID, err)
		} else {
			cache.Store(e.FileID, l)
		}
	}
	return l, err
}

func read(e *interpreter.Executable) (Layout, error) {
	f, err := e.Open()
	if err != nil {
		return Layout{}, err
	}
	defer f.Close()
	if l, err := glibc(f); err == nil {
		return l, nil
	}
	if strings.Contains(path.Base(e.Path), "musl") {
		return musl(), nil
	}
	return Layout{}, fmt.Errorf("%s: %w", path.Base(e.Path), ErrNone)
}

// glibc reads the tables that the library exports for debuggers (libthread_db):
// each is size in bits, number of elements, offset in bytes.
func glibc(f *pfelf.File) (Layout, error) {
	var l Layout
	specific, err := descriptor(f, "_thread_db_pthread_specific")
	if err != nil {
		return l, err
	}
	level2, err := descriptor(f, "_thread_db_pthread_key_data_level2_data")
	if err != nil {
		return l, err
	}
	data, err := descriptor(f, "_thread_db_pthread_key_data_data")
	if err != nil {
		return l, err
	}
	sizeof, err := word(f, "_thread_db_sizeof_pthread_key_data")
	if err != nil {
		return l, err
	}
	self := threadPointerOffset(f)
	// specific is an array of pointers to blocks; the first block of 32 keys lies
	// right before it in struct pthread.
	first := int64(specific.offset) - int64(level2.count)*int64(sizeof) + int64(data.offset) - self
	if level2.count == 0 || level2.count > 1024 || sizeof > 255 || first != int64(int16(first)) { //nolint:gosec // this is the check
		return l, errors.New("unexpected layout of thread-specific data")
	}
	l.TSD = TSD{Offset: int16(first), Stride: uint8(sizeof), Keys: level2.count} //nolint:gosec // checked above
	l.Self = -self

	dtvp, err := descriptor(f, "_thread_db_pthread_dtvp")
	if err != nil {
		return l, err
	}
	dtv, err := descriptor(f, "_thread_db_dtv_dtv")
	if err != nil {
		return l, err
	}
	l.DTV = DTV{Offset: int16(int64(dtvp.offset) - self), Stride: uint8(dtv.bits / 8)} //nolint:gosec // small
	if l.DTV.Stride == 0 {
		return l, errors.New("unexpected layout of the vector of thread-local blocks")
	}
	return l, nil
}

// threadPointerOffset is where the thread pointer points, from the start of
// struct pthread: its start on x86-64, its end on arm64.
func threadPointerOffset(f *pfelf.File) int64 {
	if runtime.GOARCH == "arm64" {
		if n, err := word(f, "_thread_db_sizeof_pthread"); err == nil {
			return int64(n)
		}
	}
	return 0
}

type field struct{ bits, count, offset uint32 }

func descriptor(f *pfelf.File, name string) (field, error) {
	var b [12]byte
	if err := symbolData(f, name, b[:]); err != nil {
		return field{}, err
	}
	return field{
		binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:]),
	}, nil
}

func word(f *pfelf.File, name string) (uint32, error) {
	var b [4]byte
	err := symbolData(f, name, b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

func symbolData(f *pfelf.File, name string, b []byte) error {
	s, ok := f.Symbol(name)
	if !ok {
		return fmt.Errorf("no symbol %s", name)
	}
	_, err := f.ReadVaddr(b, s.Value)
	return err
}

// musl has no tables. In struct pthread (src/internal/pthread_impl.h) dtv is the
// second word on x86-64 and the last of those behind the thread pointer's back on
// arm64; tsd is a pointer to an array of values.
func musl() Layout {
	if runtime.GOARCH == "arm64" {
		return Layout{TSD: TSD{Offset: -80, Stride: 8, Indirect: 1, Keys: 128}, DTV: DTV{Offset: -8, Stride: 8}}
	}
	return Layout{TSD: TSD{Offset: 128, Stride: 8, Indirect: 1, Keys: 128}, DTV: DTV{Offset: 8, Stride: 8}}
}
