// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/support/hostile"
)

// discard is a sink that keeps nothing.
type discard struct{}

func (discard) ReportExecutable(*libpf.Executable) {}
func (discard) ReportSample(*libpf.Sample)         {}

// encodeRecord lays a record out as the kernel side does.
func encodeRecord(f *testing.F, h *support.StrobeSampleHeader, rest any) []byte {
	f.Helper()
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, h); err != nil {
		f.Fatal(err)
	}
	if b.Len() != headerSize {
		f.Fatalf("header of %d bytes, want %d", b.Len(), headerSize)
	}
	if err := binary.Write(&b, binary.NativeEndian, rest); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// FuzzRecord reads any bytes as a record of the ring of samples and names its
// frames, as far as that needs no kernel: files are the vdso, and no process runs
// on a runtime.
func FuzzRecord(f *testing.F) {
	const file, anon = uint64(frameFile) << frameKindShift, uint64(0)
	words := []uint64{
		0xffffffff81000010, 0xffffffff81000020,
		file | uint64(execVDSO)<<frameFileShift | 0x800, anon | 0x7f0000001234,
		uint64(frameRuntimeError)<<frameKindShift | 3,
	}
	sample := &support.StrobeSampleHeader{Tgid: 1 << 30, Tid: 1 << 30, KernelFrames: 2, UserWords: 3, End: 1, Comm: [16]int8{'a', -1, 'b'}}
	f.Add(encodeRecord(f, sample, words))
	f.Add(encodeRecord(f, sample, words[:3]))
	var label support.StrobeLabel
	copyText := func(to []int8, s string) uint32 {
		for i := range min(len(s), len(to)) {
			to[i] = int8(s[i]) //nolint:gosec // the same bits
		}
		return uint32(len(s)) //nolint:gosec // short
	}
	label.KeyLength, label.ValueLength = copyText(label.Key[:], "key"), copyText(label.Value[:], "some välue")
	long := label
	long.ValueLength = 1 << 31
	f.Add(encodeRecord(f, &support.StrobeSampleHeader{Type: labelsType, UserWords: 2}, []support.StrobeLabel{label, long}))
	f.Add(encodeRecord(f, &support.StrobeSampleHeader{Type: labelsType, UserWords: 60_000}, label))

	cfg := &Config{Logger: slog.New(slog.DiscardHandler)}
	m := newMetrics()
	files := newFileTable(nil, cfg, m)
	r, err := newResolver(files, newRuntimeManager(nil, files, cfg, m), cfg, m)
	if err != nil {
		f.Fatal(err)
	}
	r.kernelTried = true // its symbols are those of this host
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = slices.Clip(raw)
		hostile.Bound(t, len(raw), 1<<10, func() {
			h, ok := parseHeader(raw)
			if !ok {
				return
			}
			rest := raw[headerSize:]
			if h.Type == labelsType {
				labels, ok := parseLabels(h, rest)
				for i, l := range labels {
					if !ok || l.Key == "" || !utf8.ValidString(l.Key) || !utf8.ValidString(l.Value) || (i > 0 && l.Key <= labels[i-1].Key) {
						t.Fatalf("label %d is %q", i, l)
					}
				}
				return
			}
			words, ok := wordsOf(h, rest)
			if !ok {
				return
			}
			words = bytes.Clone(words)
			for i := int(h.KernelFrames); i < len(words)/8; i++ {
				switch w := word(words, i); w >> frameKindShift {
				case frameFile: // others are looked up in the kernel
					w &= frameOffMask
					binary.LittleEndian.PutUint64(words[8*i:], w|file|uint64(execVDSO)<<frameFileShift)
				case frameRuntime: // reads the memory of a process, see the packages of the runtimes
					binary.LittleEndian.PutUint64(words[8*i:], uint64(frameRuntimeError)<<frameKindShift|w&0xffff)
				}
			}
			h.Tgid = 0 // no process
			trace, _ := r.trace(h, words, discard{})
			if len(trace.Frames) == 0 || len(trace.Frames) > len(words)/8+2 {
				t.Fatalf("%d frames out of %d words", len(trace.Frames), len(words)/8)
			}
		})
	})
}
