// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// faultDirectory is a real directory that fails as a test wants, and does not
// wait for the disk.
type faultDirectory struct {
	directory
	createErr, removeErr, openErr, extendErr error
	// writeErr comes after half of what is to be written.
	writeErr, syncErr, readErr, truncateErr error
	// told gets what happens to the files, in order, when it is set.
	told func(what, name string)
}

func (d *faultDirectory) tell(what, name string) {
	if d.told != nil {
		d.told(what, name)
	}
}

func (d *faultDirectory) open(path string) (directory, error) {
	opened, err := openDirectory(path)
	if err != nil {
		return nil, err
	}
	d.directory = opened
	return &faultFiles{d}, nil
}

type faultFiles struct{ d *faultDirectory }

func (f *faultFiles) list() (map[string]int64, error) { return f.d.list() }
func (f *faultFiles) close() error                    { return f.d.close() }

func (f *faultFiles) sync() error {
	f.d.tell("sync", "")
	return f.d.syncErr
}

func (f *faultFiles) remove(name string) error {
	if f.d.removeErr != nil {
		return f.d.removeErr
	}
	return f.d.remove(name)
}

func (f *faultFiles) wrap(fault error, open func(string) (file, error), name string) (file, error) {
	if fault != nil {
		return nil, fault
	}
	inner, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultFile{inner, f.d, name}, nil
}

func (f *faultFiles) open(name string) (file, error) {
	return f.wrap(f.d.openErr, f.d.directory.open, name)
}
func (f *faultFiles) create(name string) (file, error) {
	return f.wrap(f.d.createErr, f.d.create, name)
}
func (f *faultFiles) extend(name string) (file, error) {
	return f.wrap(f.d.extendErr, f.d.extend, name)
}

type faultFile struct {
	file
	d    *faultDirectory
	name string
}

func (f *faultFile) ReadAt(p []byte, at int64) (int, error) {
	if f.d.readErr != nil {
		return 0, f.d.readErr
	}
	return f.file.ReadAt(p, at)
}

func (f *faultFile) WriteAt(p []byte, at int64) (int, error) {
	if f.d.writeErr != nil {
		n, _ := f.file.WriteAt(p[:len(p)/2], at)
		return n, f.d.writeErr
	}
	f.d.tell("write", f.name)
	return f.file.WriteAt(p, at)
}

func (f *faultFile) Truncate(size int64) error {
	if f.d.truncateErr != nil {
		return f.d.truncateErr
	}
	return f.file.Truncate(size)
}

func (f *faultFile) Sync() error {
	f.d.tell("sync", f.name)
	return f.d.syncErr
}

// Whatever fails, what was written before stays and what comes after the fault is written.
func TestWriteFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault  func(d *faultDirectory)
		reason string
	}{
		"no space":         {func(d *faultDirectory) { d.writeErr = syscall.ENOSPC }, "no_space"},
		"no space, no cut": {func(d *faultDirectory) { d.writeErr, d.truncateErr = syscall.ENOSPC, syscall.EIO }, "no_space"},
		"read-only": {func(d *faultDirectory) {
			d.createErr, d.writeErr, d.removeErr = syscall.EROFS, syscall.EROFS, syscall.EROFS
		}, "read_only"},
		"I/O error":          {func(d *faultDirectory) { d.writeErr, d.syncErr = syscall.EIO, syscall.EIO }, "io"},
		"permission":         {func(d *faultDirectory) { d.createErr, d.writeErr = syscall.EACCES, syscall.EACCES }, "permission"},
		"nothing to write":   {func(d *faultDirectory) { d.extendErr, d.writeErr = syscall.EDQUOT, syscall.EDQUOT }, "no_space"},
		"first segment, too": {func(d *faultDirectory) { d.createErr = syscall.ENOSPC }, "no_space"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, d := t.TempDir(), &faultDirectory{}
			s := openTest(t, Options{Dir: dir, directory: d.open})
			if name == "first segment, too" {
				tc.fault(d)
				r := testRecord(1)
				if _, err := s.Append(&r, false); err == nil {
					t.Fatal("no error")
				}
				*d = faultDirectory{directory: d.directory}
			}
			appendTest(t, s, 1, 30)
			tc.fault(d)
			failed := 0
			for range 3 {
				for i := uint64(31); i <= 33; i++ {
					r := testRecord(i)
					order, err := s.Append(&r, false)
					if err != nil {
						if failed++; Reason(err) != tc.reason {
							t.Errorf("%v is %s", err, Reason(err))
						}
					} else if !s.Withdraw(r.Stream, order, r.Weight) {
						t.Error("not withdrawn")
					}
				}
			}
			if failed == 0 && name != "first segment, too" {
				t.Error("no error")
			}
			if got := s.Stats().Errors[tc.reason]; got == 0 {
				t.Errorf("errors %v", s.Stats().Errors)
			}
			*d = faultDirectory{directory: d.directory}
			appendTest(t, s, 31, 60)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openTest(t, Options{Dir: dir})
			defer s.Close() //nolint:errcheck // its faults are the test
			got, orders := readAll(t, s)
			if diff := cmp.Diff(upTo(1, 60), got); diff != "" {
				t.Fatal(diff)
			}
			for _, order := range orders {
				s.Settle(order)
			}
			if left := segments(t, dir); len(left) != 0 {
				t.Errorf("files %v", left)
			}
		})
	}
}

// A sync that fails is told once, and the segment is not written to any more.
func TestSyncFault(t *testing.T) {
	t.Parallel()
	d := &faultDirectory{}
	s := openTest(t, Options{Dir: t.TempDir(), directory: d.open})
	defer s.Close() //nolint:errcheck // its faults are the test
	appendTest(t, s, 1, 3)
	r := testRecord(4)
	r.Stream = Counts
	order, err := s.Append(&r, false)
	if err != nil {
		t.Fatal(err)
	}
	d.syncErr = syscall.EIO
	if err := s.Sync(); err == nil || Reason(err) != "io" {
		t.Errorf("sync: %v", err)
	}
	if !s.Withdraw(Counts, order, r.Weight) {
		t.Error("not withdrawn")
	}
	d.syncErr = nil
	appendTest(t, s, 5, 7)
	if got, _ := readAll(t, s); cmp.Diff([]uint64{1, 2, 3, 5, 6, 7}, got) != "" {
		t.Errorf("read %v", got)
	}
}

// While the disk cannot be read nothing is given up.
func TestReadFault(t *testing.T) {
	t.Parallel()
	d := &faultDirectory{}
	s := openTest(t, Options{Dir: t.TempDir(), directory: d.open, Lost: func(_ Stream, w uint64) { t.Errorf("lost %d", w) }})
	defer s.Close() //nolint:errcheck // its faults are the test
	appendTest(t, s, 1, 20)
	for _, fault := range []*error{&d.readErr, &d.openErr} {
		*fault = syscall.EIO
		if _, ok, err := s.Read(); ok || err == nil {
			t.Error("no error")
		}
		*fault = nil
	}
	if got, _ := readAll(t, s); len(got) != 20 {
		t.Errorf("read %v", got)
	}
}

// A segment that cannot be read when the spool is opened is left alone.
func TestOpenFault(t *testing.T) {
	t.Parallel()
	dir, d := t.TempDir(), &faultDirectory{}
	s := openTest(t, Options{Dir: dir, directory: d.open})
	appendTest(t, s, 1, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d.readErr = syscall.EIO
	s = openTest(t, Options{Dir: dir, directory: d.open})
	if st := s.Stats(); st.Batches != 0 || st.Bytes == 0 || st.Errors["io"] != 1 {
		t.Errorf("stats %+v", st)
	}
	d.readErr = nil
	appendTest(t, s, 4, 6)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{Dir: dir})
	defer s.Close() //nolint:errcheck // end of the test
	if got, _ := readAll(t, s); cmp.Diff(upTo(1, 6), got) != "" {
		t.Errorf("read %v", got)
	}
}

// FuzzSegment opens and reads a spool with a segment of any bytes: it ends, its
// account is never negative, and what it returns was checked.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	s, err := Open(Options{Dir: dir, MaxBytes: 1 << 20, directory: (&faultDirectory{}).open})
	if err != nil {
		f.Fatal(err)
	}
	for i := uint64(1); i < 4; i++ {
		r := testRecord(i)
		if _, err := s.Append(&r, false); err != nil {
			f.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	name := segmentName(Counts, 1, segmentSuffix)
	good, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte{})
	f.Add(good[:len(good)-7], good[:12])
	f.Add(good[7:], []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, segment, settled []byte) {
		dir, d := t.TempDir(), &faultDirectory{}
		for file, data := range map[string][]byte{name: segment, segmentName(Counts, 1, settledSuffix): settled} {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		lost := uint64(0)
		s, err := Open(Options{Dir: dir, MaxBytes: 1 << 20, directory: d.open, Lost: func(_ Stream, w uint64) { lost += w }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close() //nolint:errcheck // end of the test
		before, read := s.Stats(), uint64(0)
		for n := 0; ; n++ {
			r, ok, err := s.Read()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if read += r.Weight; n > len(segment)/headerBytes {
				t.Fatal("more records than fit")
			}
			if !s.Settle(r.Order) {
				t.Fatal("not held")
			}
		}
		if before.Weight != read+lost {
			t.Errorf("weight %d, read %d, lost %d", before.Weight, read, lost)
		}
		if st := s.Stats(); st.Batches != 0 || st.Weight != 0 || st.Bytes != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// BenchmarkSpool is the cost of batches of a host with 64 busy CPUs at 20 Hz: as
// large and as compressible as those, 1,280 samples per second.
func BenchmarkSpool(b *testing.B) {
	const samples = 6400
	payload := make([]byte, 0, 40*samples)
	for i := 0; len(payload) < 40*samples; i++ {
		payload = strconv.AppendInt(payload, int64(i*i%9973), 10)
	}
	record := Record{Header: Header{Weight: samples}, Payload: payload}
	open := func(b *testing.B) *Spool {
		s, err := Open(Options{Dir: b.TempDir(), MaxBytes: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		return s
	}
	add := func(b *testing.B, s *Spool) {
		if _, err := s.Append(&record, false); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("append", func(b *testing.B) {
		s := open(b)
		b.SetBytes(int64(len(payload)))
		for b.Loop() {
			add(b, s)
		}
		b.ReportMetric(float64(b.N)*samples/b.Elapsed().Seconds(), "samples/s")
	})
	b.Run("append and sync", func(b *testing.B) {
		s := open(b)
		b.SetBytes(int64(len(payload)))
		for b.Loop() {
			add(b, s)
			if err := s.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read and settle", func(b *testing.B) {
		s := open(b)
		b.SetBytes(int64(len(payload)))
		for range b.N {
			add(b, s)
		}
		b.ResetTimer()
		for range b.N {
			r, ok, err := s.Read()
			if err != nil || !ok {
				b.Fatal(ok, err)
			}
			s.Settle(r.Order)
		}
		b.ReportMetric(float64(b.N)*samples/b.Elapsed().Seconds(), "samples/s")
	})
}

// BenchmarkOpenFull is a start with 512 MiB in the spool, in records of the sizes of a
// busy host and of an idle one.
func BenchmarkOpenFull(b *testing.B) {
	for _, size := range []int{32 << 10, 1 << 10} {
		b.Run("record="+strconv.Itoa(size), func(b *testing.B) {
			dir := b.TempDir()
			fillSpool(b, dir, size, 512<<20)
			b.ResetTimer()
			for range b.N {
				s, err := Open(Options{Dir: dir, MaxBytes: 1 << 30})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(s.Stats().Batches), "batches")
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fillSpool writes segments as Append would, without its cost.
func fillSpool(b *testing.B, dir string, size, total int) {
	b.Helper()
	order := uint64(0)
	stored := make([]byte, size-headerBytes)
	for total > 0 {
		var out []byte
		first := order + 1
		for len(out)+size <= maxSegmentBytes {
			order++
			h := header{Header: Header{Order: order, Weight: 100}, stored: len(stored), size: 1}
			out = append(h.append(out), stored...)
		}
		if err := os.WriteFile(filepath.Join(dir, segmentName(Counts, first, segmentSuffix)), out, fs.FileMode(0o600)); err != nil {
			b.Fatal(err)
		}
		total -= len(out)
	}
}
