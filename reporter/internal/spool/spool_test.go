// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// testRecord returns a record that depends on i alone: every fourth is a definition.
func testRecord(i uint64) Record {
	rnd := rand.New(rand.NewPCG(i, 1))
	payload := make([]byte, 50+rnd.IntN(400))
	for j := range payload {
		payload[j] = byte(rnd.Uint32())
	}
	r := Record{Header: Header{Stream: Counts, Kind: byte(i), Sequence: i, Weight: i, Run: [16]byte{1, byte(i)}, Attempted: i%2 == 0}, Payload: payload}
	if i%4 == 0 {
		r.Stream, r.Weight = Definitions, 0
	}
	return r
}

func openTest(t *testing.T, o Options) *Spool {
	t.Helper()
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 20
	}
	if o.directory == nil {
		o.directory = (&faultDirectory{}).open
	}
	o.Now = func() time.Time { return time.Unix(1_800_000_000, 0) }
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func appendTest(t *testing.T, s *Spool, from, to uint64) {
	t.Helper()
	for i := from; i <= to; i++ {
		r := testRecord(i)
		if _, err := s.Append(&r, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
}

// readAll reads everything and returns the sequences, checking the content.
func readAll(t *testing.T, s *Spool) (sequences, orders []uint64) {
	t.Helper()
	for {
		r, ok, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return sequences, orders
		}
		want := testRecord(r.Sequence)
		want.Order, want.Time = r.Order, r.Time
		if !bytes.Equal(want.Payload, r.Payload) || want.Header != r.Header {
			t.Fatalf("record %+v, want %+v", r.Header, want.Header)
		}
		if n := len(orders); n > 0 && orders[n-1] >= r.Order {
			t.Fatalf("order %d after %d", r.Order, orders[n-1])
		}
		sequences, orders = append(sequences, r.Sequence), append(orders, r.Order)
	}
}

func upTo(from, to uint64) (list []uint64) {
	for i := from; i <= to; i++ {
		list = append(list, i)
	}
	return list
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestReplay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := openTest(t, Options{Dir: dir})
	if _, ok, err := s.Read(); ok || err != nil {
		t.Errorf("an empty spool: %v, %v", ok, err)
	}
	appendTest(t, s, 1, 500)
	got, orders := readAll(t, s)
	if diff := cmp.Diff(upTo(1, 500), got); diff != "" {
		t.Fatal(diff)
	}
	// What follows is read on from where the reading was.
	appendTest(t, s, 501, 520)
	more, moreOrders := readAll(t, s)
	if diff := cmp.Diff(upTo(501, 520), more); diff != "" {
		t.Fatal(diff)
	}
	// The odd ones are settled, and the rest comes again in the next run.
	var want []uint64
	for i, order := range append(orders, moreOrders...) {
		if i%2 == 0 {
			if !s.Settle(order) || s.Settle(order) {
				t.Fatalf("record %d is not settled exactly once", order)
			}
		} else {
			want = append(want, uint64(i+1))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{Dir: dir})
	if st := s.Stats(); st.Batches != len(want) || st.Segments < 5 || st.Oldest.Unix() != 1_800_000_000 || st.Weight == 0 {
		t.Errorf("stats %+v", st)
	}
	got, orders = readAll(t, s)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	for _, order := range orders {
		s.Settle(order)
	}
	if st := s.Stats(); st.Bytes != 0 || st.Batches != 0 || st.Segments != 0 || st.Weight != 0 || !st.Oldest.IsZero() {
		t.Errorf("stats %+v", st)
	}
	if left := segments(t, dir); len(left) != 0 {
		t.Errorf("files %v", left)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReturn(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{Dir: t.TempDir()})
	defer s.Close() //nolint:errcheck // end of the test
	appendTest(t, s, 1, 300)
	_, orders := readAll(t, s)
	for _, order := range orders[10:20] {
		if !s.Return(order) {
			t.Fatal("gone")
		}
	}
	got, _ := readAll(t, s)
	if diff := cmp.Diff(upTo(11, 20), got); diff != "" {
		t.Fatal(diff)
	}
	r := testRecord(301)
	held, err := s.Append(&r, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := readAll(t, s); len(got) != 0 {
		t.Errorf("read %v, which is held", got)
	}
	r = testRecord(302)
	order, err := s.Append(&r, false)
	if err != nil || !s.Withdraw(r.Stream, order, r.Weight) {
		t.Fatal("not withdrawn")
	}
	if got, _ := readAll(t, s); len(got) != 0 {
		t.Errorf("read %v, which is withdrawn", got)
	}
	if !s.Return(held) || s.Stats().Weight != 301 {
		t.Errorf("stats %+v", s.Stats())
	}
}

// Each kind of damage costs the records that it hits.
func TestDamage(t *testing.T) {
	t.Parallel()
	// offset finds the n-th record of a stream of bytes.
	offset := func(b []byte, n int) int {
		at := 0
		for range n {
			at += bytes.Index(b[at+1:], magic[:]) + 1
		}
		return at
	}
	for name, tc := range map[string]struct {
		damage func(b []byte) []byte
		lost   []int // places in the segment, from the start or the end
		reason string
	}{
		"header":         {func(b []byte) []byte { b[offset(b, 2)+30]++; return b }, []int{2}, reasonHeader},
		"magic":          {func(b []byte) []byte { b[0]++; return b }, []int{0}, reasonHeader},
		"length":         {func(b []byte) []byte { b[offset(b, 1)+13]++; return b }, []int{1}, reasonHeader},
		"payload":        {func(b []byte) []byte { b[offset(b, 3)+headerBytes+5]++; return b }, []int{3}, reasonPayload},
		"torn payload":   {func(b []byte) []byte { return b[:len(b)-1] }, []int{-1}, reasonTorn},
		"torn header":    {func(b []byte) []byte { return b[:offset(b, 4)+20] }, []int{4, 5, 6, 7, 8, 9}, reasonTorn},
		"zeros":          {func(b []byte) []byte { clear(b[offset(b, 1)+5 : offset(b, 3)+5]); return b }, []int{1, 2, 3}, reasonHeader},
		"zeros at end":   {func(b []byte) []byte { return append(b, make([]byte, 100<<10)...) }, nil, reasonTorn},
		"garbage before": {func(b []byte) []byte { return append(bytes.Repeat(magic[:], 50000), b...) }, nil, reasonHeader},
		"a cut":          {func(b []byte) []byte { return append(b[:offset(b, 2)+100:offset(b, 2)+100], b[offset(b, 3)+10:]...) }, []int{2, 3}, reasonHeader},
		"empty":          {func([]byte) []byte { return nil }, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, ""},
		"gone":           {nil, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := openTest(t, Options{Dir: dir})
			for i := uint64(1); i <= 40; i++ {
				if i%4 == 0 {
					continue // counts alone
				}
				r := testRecord(i)
				if _, err := s.Append(&r, false); err != nil {
					t.Fatal(err)
				}
				if (i+1)%4 == 0 && i/4 == 2 || i == 23 { // three segments of 9, 9 and 12
					if err := s.lists[Counts][len(s.lists[Counts])-1].seal(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, segmentName(Counts, 10, segmentSuffix))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if tc.damage == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, tc.damage(data), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			lost := map[uint64]bool{}
			second := []uint64{13, 14, 15, 17, 18, 19, 21, 22, 23} // sequences in the second segment
			for _, i := range tc.lost {
				if i < 0 {
					i += len(second)
				}
				if i < len(second) {
					lost[second[i]] = true
				}
			}
			var want []uint64
			weight := uint64(0)
			for i := uint64(1); i <= 40; i++ {
				if i%4 != 0 && !lost[i] {
					want = append(want, i)
					weight += i
				}
			}
			lostWeight := uint64(0)
			s = openTest(t, Options{Dir: dir, Lost: func(_ Stream, w uint64) { lostWeight += w }})
			defer s.Close() //nolint:errcheck // end of the test
			before := s.Stats().Weight
			got, orders := readAll(t, s)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if before-lostWeight != weight {
				t.Errorf("weight %d at first, %d lost; read %d", before, lostWeight, weight)
			}
			st := s.Stats()
			if n := st.Corrupt[tc.reason]; (tc.reason != "" && n != 1) || len(st.Corrupt) > 2 || (tc.reason == "" && len(st.Corrupt) > 0) {
				t.Errorf("corrupt %v", st.Corrupt)
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

// A segment that vanishes or shrinks while the spool is open is given up, with its weight.
func TestVanished(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"removed": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			lost := uint64(0)
			s := openTest(t, Options{Dir: dir, Lost: func(_ Stream, w uint64) { lost += w }})
			defer s.Close() //nolint:errcheck // end of the test
			appendTest(t, s, 1, 7)
			if err := harm(filepath.Join(dir, segmentName(Counts, 1, segmentSuffix))); err != nil {
				t.Fatal(err)
			}
			got, orders := readAll(t, s)
			if diff := cmp.Diff([]uint64{4}, got); diff != "" || lost != 1+2+3+5+6+7 {
				t.Errorf("lost %d, %s", lost, diff)
			}
			s.Settle(orders[0])
			if st := s.Stats(); st.Batches != 0 || st.Weight != 0 {
				t.Errorf("stats %+v", st)
			}
			appendTest(t, s, 8, 10)
			if got, _ := readAll(t, s); len(got) != 3 {
				t.Errorf("read %v", got)
			}
		})
	}
}

// Nothing is appended any more to a segment that vanished while a record of it was held.
func TestVanishedWhileWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	defer s.Close() //nolint:errcheck // end of the test
	appendTest(t, s, 1, 2)
	if _, ok, err := s.Read(); !ok || err != nil { // and hold the first
		t.Fatal(ok, err)
	}
	s.cursors[Counts].close()
	if err := os.Remove(filepath.Join(dir, segmentName(Counts, 1, segmentSuffix))); err != nil {
		t.Fatal(err)
	}
	if got, _ := readAll(t, s); len(got) != 0 {
		t.Errorf("read %v", got)
	}
	appendTest(t, s, 5, 7)
	if got, _ := readAll(t, s); cmp.Diff(upTo(5, 7), got) != "" {
		t.Errorf("read %v", got)
	}
}

// The cap costs the oldest counts first, definitions last, and says what.
func TestCap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var lost uint64
	var definitions []uint64
	const capBytes = 64 << 10
	s := openTest(t, Options{Dir: dir, MaxBytes: capBytes, Evicted: func(r Record) {
		if r.Stream == Counts {
			lost += r.Weight
			return
		}
		if want := testRecord(r.Sequence); !bytes.Equal(want.Payload, r.Payload) {
			t.Errorf("definitions %d are not what they were", r.Sequence)
		}
		definitions = append(definitions, r.Sequence)
	}})
	defer func() { s.Close() }() //nolint:errcheck // end of the test
	captured := uint64(0)
	for i := uint64(1); i <= 500; i++ {
		r := testRecord(i)
		captured += r.Weight
		if _, err := s.Append(&r, false); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Bytes > capBytes || captured != st.Weight+lost || st.EvictedWeight != lost {
			t.Fatalf("captured %d, lost %d, stats %+v", captured, lost, st)
		}
	}
	if lost == 0 || len(definitions) > 0 {
		t.Errorf("lost %d samples and definitions %v", lost, definitions)
	}
	got, orders := readAll(t, s)
	oldest := uint64(0)
	for _, sequence := range got {
		if sequence%4 != 0 {
			oldest = sequence
			break
		}
	}
	for i := oldest; i <= 500; i++ {
		if i%4 != 0 && !contains(got, i) {
			t.Errorf("%d is lost although %d is not", i, oldest)
		}
	}
	// What is held and then evicted is neither lost nor settled twice.
	before := lost
	for i := uint64(4); i <= 4000; i += 4 {
		r := testRecord(i)
		if _, err := s.Append(&r, false); err != nil {
			t.Fatal(err)
		}
	}
	if lost != before || len(definitions) == 0 {
		t.Errorf("lost %d, which was held; definitions %v", lost-before, definitions)
	}
	for _, order := range orders {
		if s.Return(order) && contains(definitions, order) {
			t.Error("a record came back from the dead")
		}
	}
	readAll(t, s) // checks the content
	if st := s.Stats(); len(st.Corrupt) > 0 {
		t.Errorf("stats %+v", st)
	}
	// A lower cap is respected when it is asked for.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{Dir: dir, MaxBytes: capBytes / 4})
	if err := s.Trim(); err != nil || s.Stats().Bytes > capBytes/4 {
		t.Errorf("%v, %+v", err, s.Stats())
	}
	big := Record{Payload: make([]byte, 1<<20)}
	for i := range big.Payload {
		big.Payload[i] = byte(rand.Uint32())
	}
	if _, err := s.Append(&big, false); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func contains(list []uint64, v uint64) bool { return slices.Contains(list, v) }

func TestDirectory(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := filepath.Join(base, "spool")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, Options{Dir: dir})
	appendTest(t, s, 1, 8)
	_, orders := readAll(t, s)
	s.Settle(orders[0])
	for path, want := range map[string]os.FileMode{"": 0o700, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v", path, info, err)
		}
	}
	for _, path := range segments(t, dir) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	if _, err := Open(Options{Dir: dir, MaxBytes: 1 << 20}); !errors.Is(err, ErrInUse) || Reason(err) != "in_use" {
		t.Errorf("a second one: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Links lead nowhere: neither the directory nor a file in it may be one.
	link := filepath.Join(base, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: link, MaxBytes: 1 << 20}); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("a link: %v", err)
	}
	secret := filepath.Join(base, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{segmentName(Counts, 1<<20, segmentSuffix), segmentName(Counts, 2, settledSuffix), segmentName(Counts, 100, segmentSuffix)} {
		if err := os.Symlink(secret, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, segmentName(Definitions, 5, segmentSuffix)), 0o700); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{Dir: dir})
	appendTest(t, s, 9, 20)
	if _, orders := readAll(t, s); len(orders) != 19 {
		t.Errorf("read %v", orders)
	} else {
		for _, order := range orders {
			s.Settle(order)
		}
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "secret" {
		t.Errorf("%q, %v", data, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, MaxBytes: 1 << 20}); err == nil {
		t.Error("a link as lock")
	}
	if _, err := Open(Options{Dir: filepath.Join(secret, "x"), MaxBytes: 1 << 20}); err == nil {
		t.Error("a directory in a file")
	}
}

func ExampleSpool() {
	dir, _ := os.MkdirTemp("", "spool")
	defer os.RemoveAll(dir) //nolint:errcheck // a copy
	s, err := Open(Options{Dir: dir, MaxBytes: 1 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close() //nolint:errcheck // end of the test
	_, _ = s.Append(&Record{Header: Header{Stream: Counts, Weight: 3}, Payload: []byte("samples")}, false)
	_ = s.Sync()
	r, _, _ := s.Read()
	fmt.Println(r.Order, r.Weight, string(r.Payload))
	s.Settle(r.Order)
	fmt.Println(s.Stats().Batches)
	// Output:
	// 1 3 samples
	// 0
}
