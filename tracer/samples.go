// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
	"github.com/elastic/go-freelru"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support"
)

// stackKey is the hash of a stack that the kernel side computed. It is private
// to one run of the agent; libpf.TraceHash is what travels.
type stackKey struct{ hi, lo uint64 }

func hashStackKey(k stackKey) uint32 { return uint32(k.hi ^ k.lo>>17) } //nolint:gosec // folding

// stackCacheSize is how many stacks are kept with their frames: at 30 frames
// each about 20 MiB. It matches the kernel side's table of confirmed stacks.
const stackCacheSize = 8192

// sampleReader reads records and turns them into samples.
type sampleReader struct {
	k        *kernelSide
	metrics  *metrics
	rd       *ringbuf.Reader
	resolver *resolver
	clock    clock

	mu     sync.Mutex // guards stacks against forgetStacks
	stacks *freelru.LRU[stackKey, *libpf.Trace]
	// evicted holds stacks that left the cache since the ring was last empty:
	// records that name them by hash may still wait there.
	evicted map[stackKey]*libpf.Trace
	comms   map[[16]byte]string
	labels  *labelSets
}

func newSampleReader(k *kernelSide, files *fileTable, runtimes *runtimeManager, cfg *Config, m *metrics) (*sampleReader, error) {
	rd, err := ringbuf.NewReader(k.objs.Samples)
	if err != nil {
		return nil, fmt.Errorf("open ring of samples: %w", err)
	}
	r := &sampleReader{k: k, metrics: m, rd: rd, evicted: map[stackKey]*libpf.Trace{}, comms: map[[16]byte]string{}}
	if r.resolver, err = newResolver(files, runtimes, cfg, m); err != nil {
		rd.Close()
		return nil, err
	}
	if r.stacks, err = freelru.New[stackKey, *libpf.Trace](stackCacheSize, hashStackKey); err != nil {
		rd.Close()
		return nil, fmt.Errorf("create cache of stacks: %w", err)
	}
	if r.labels, err = newLabelSets(k, m); err != nil {
		rd.Close()
		return nil, err
	}
	r.stacks.SetOnEvict(func(key stackKey, t *libpf.Trace) {
		_ = k.objs.Confirmed.Delete(support.StrobeStackKey{Hi: key.hi, Lo: key.lo})
		r.evicted[key] = t
	})
	return r, nil
}

// run reads until ctx ends.
func (r *sampleReader) run(ctx context.Context, sink Sink) {
	stop := context.AfterFunc(ctx, func() { _ = r.rd.Flush() })
	defer stop()
	var rec ringbuf.Record
	for ctx.Err() == nil {
		r.rd.SetDeadline(time.Now().Add(readInterval))
		if !r.readAll(&rec, sink) {
			return
		}
	}
}

// drain reads what is left in the ring once sampling has stopped.
func (r *sampleReader) drain(sink Sink) {
	var rec ringbuf.Record
	r.rd.SetDeadline(time.Now())
	r.readAll(&rec, sink)
	r.rd.Close()
}

// readAll reads until the ring is empty. It returns false when it is closed.
func (r *sampleReader) readAll(rec *ringbuf.Record, sink Sink) bool {
	for {
		err := r.rd.ReadInto(rec)
		switch {
		case err == nil:
			r.handle(rec.RawSample, sink)
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, ringbuf.ErrFlushed):
			r.mu.Lock()
			clear(r.evicted)
			r.mu.Unlock()
			return true
		case errors.Is(err, ringbuf.ErrClosed):
			return false
		default:
			r.metrics.badRecords.Inc()
			return true
		}
	}
}

const headerSize = int(unsafe.Sizeof(support.StrobeSampleHeader{}))

// parseHeader returns the header of a record. ok is false when it is cut short.
func parseHeader(raw []byte) (h *support.StrobeSampleHeader, ok bool) {
	if len(raw) < headerSize {
		return nil, false
	}
	return (*support.StrobeSampleHeader)(unsafe.Pointer(&raw[0])), true //nolint:gosec // length checked; layouts are generated from BTF
}

// wordsOf returns the frames of a record: those of the kernel, then those of the
// process. ok is false when it is cut short.
func wordsOf(h *support.StrobeSampleHeader, rest []byte) (words []byte, ok bool) {
	n := 8 * (int(h.KernelFrames) + int(h.UserWords))
	if len(rest) < n {
		return nil, false
	}
	return rest[:n], true
}

func (r *sampleReader) handle(raw []byte, sink Sink) {
	h, ok := parseHeader(raw)
	if !ok {
		r.metrics.badRecords.Inc()
		return
	}
	if h.Type == labelsType {
		r.labels.read(h, raw[headerSize:])
		return
	}
	trace := r.trace(h, raw[headerSize:], sink)
	if trace == nil {
		return
	}
	comm := r.comm(h)
	sink.ReportSample(&libpf.Sample{
		Time:    r.clock.unix(h.Time),
		Type:    libpf.SampleType(h.Type),
		Count:   1,
		Value:   int64(h.Value), //nolint:gosec // nanoseconds
		Trace:   trace,
		Process: r.resolver.process(h, comm),
		TID:     libpf.TID(h.Tid),
		Comm:    comm,
		CPU:     h.Cpu,
		Labels:  r.labels.of(h.Labels),
	})
	r.metrics.samples.Inc()
}

// trace returns the stack of a record, nil when it is lost.
func (r *sampleReader) trace(h *support.StrobeSampleHeader, words []byte, sink Sink) *libpf.Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := stackKey{h.HashHi, h.HashLo}
	if t, ok := r.stacks.Get(key); ok {
		return t
	}
	if h.Compact != 0 {
		if t, ok := r.evicted[key]; ok {
			return t
		}
		r.metrics.lostStacks.Inc()
		return nil
	}
	words, ok := wordsOf(h, words)
	if !ok {
		r.metrics.badRecords.Inc()
		return nil
	}
	t, final := r.resolver.trace(h, words, sink)
	if !final {
		return t
	}
	r.stacks.Add(key, t)
	if err := r.k.objs.Confirmed.Put(support.StrobeStackKey{Hi: key.hi, Lo: key.lo}, uint32(1)); err != nil {
		r.metrics.confirmErrors.Inc()
	}
	return t
}

// comm returns the name of the thread as a shared string.
func (r *sampleReader) comm(h *support.StrobeSampleHeader) string {
	var raw [16]byte
	for i, c := range h.Comm {
		raw[i] = byte(c) //nolint:gosec // a char of C
	}
	if s, ok := r.comms[raw]; ok {
		return s
	}
	if len(r.comms) > 8192 {
		clear(r.comms)
	}
	name, _, _ := bytes.Cut(raw[:], []byte{0})
	s := string(bytes.ToValidUTF8(name, []byte("?")))
	r.comms[raw] = s
	return s
}

// forgetStacks drops all stacks, as the IDs in them change their meaning.
func (r *sampleReader) forgetStacks() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stacks.Purge()
	r.resolver.forget()
}

// word returns frame i of a record.
func word(words []byte, i int) uint64 { return binary.LittleEndian.Uint64(words[i*8:]) }
