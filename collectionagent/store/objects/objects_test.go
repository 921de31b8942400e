// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
	"github.com/strobe-profiler/strobe/collectionagent/store/objects/objectstest"
)

// buckets are all implementations.
func buckets(t *testing.T) map[string]objects.Bucket {
	return map[string]objects.Bucket{
		"directory": objects.NewDir(filepath.Join(t.TempDir(), "o")),
		"S3":        objectstest.Start(t).Open(t, "some/prefix"),
	}
}

func TestBucket(t *testing.T) {
	for name, b := range buckets(t) {
		t.Run(name, func(t *testing.T) { testBucket(t, b) })
	}
}

func testBucket(t *testing.T, b objects.Bucket) {
	ctx := t.Context()
	list := func(prefix string) (names []string) {
		err := b.List(ctx, prefix, func(o objects.Object) error {
			names = append(names, o.Name)
			if time.Since(o.Modified).Abs() > time.Hour {
				t.Errorf("%s was changed at %s", o.Name, o.Modified)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		slices.Sort(names)
		return names
	}
	if got := list(""); len(got) != 0 {
		t.Errorf("new bucket has %v", got)
	}
	if _, err := b.Get(ctx, "a/none", 10); !errors.Is(err, objects.ErrNotFound) {
		t.Errorf("object that is not there: %v", err)
	}
	if err := b.ReadRange(ctx, "a/none", make([]byte, 4), 0); !errors.Is(err, objects.ErrNotFound) {
		t.Errorf("range of an object that is not there: %v", err)
	}
	if err := b.Delete(ctx, "a/none"); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	large := make([]byte, 20<<20) // several parts
	for i := range large {
		large[i] = byte(i * i >> 7)
	}
	for name, content := range map[string][]byte{"a/small": []byte("content"), "a/empty": nil, "b/large": large} {
		if err := b.Put(ctx, name, bytes.NewReader(content), int64(len(content))); err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
	}
	if got, err := b.Get(ctx, "a/small", 7); err != nil || string(got) != "content" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := b.Get(ctx, "a/small", 6); !errors.Is(err, objects.ErrDamaged) {
		t.Errorf("object over the limit: %v", err)
	}
	part := make([]byte, 3<<20)
	if err := b.ReadRange(ctx, "b/large", part, 15<<20); err != nil || !bytes.Equal(part, large[15<<20:18<<20]) {
		t.Errorf("range differs, %v", err)
	}
	if err := b.ReadRange(ctx, "a/small", make([]byte, 4), 5); err == nil {
		t.Error("range behind the end")
	}
	if got := list("a/"); !slices.Equal(got, []string{"a/empty", "a/small"}) {
		t.Errorf("list %v", got)
	}
	if err := b.Put(ctx, "a/small", strings.NewReader("other"), 5); err != nil {
		t.Errorf("replace: %v", err)
	}
	if err := b.PutNew(ctx, "a/small", []byte("third")); !errors.Is(err, objects.ErrExists) {
		t.Errorf("second object of a name: %v", err)
	}
	if err := b.PutNew(ctx, "a/new", []byte("x")); err != nil {
		t.Errorf("new object: %v", err)
	}
	if got, err := b.Get(ctx, "a/small", 10); err != nil || string(got) != "other" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, name := range list("") {
		if err := b.Delete(ctx, name); err != nil {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	if got := list(""); len(got) != 0 {
		t.Errorf("after all were deleted: %v", got)
	}
}

// TestRefused uses wrong credentials and a bucket that is not there.
func TestRefused(t *testing.T) {
	server := objectstest.Start(t)
	wrong := filepath.Join(t.TempDir(), "wrong")
	text := "[default]\naws_access_key_id = " + objectstest.AccessKey + "\naws_secret_access_key = hunter2\n"
	if err := os.WriteFile(wrong, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ url, file string }{
		"credentials": {server.URL("p"), wrong},
		"bucket":      {strings.Replace(server.URL("p"), objectstest.Bucket, "other-bucket", 1), objectstest.Credentials(t)},
	} {
		l, err := objects.ParseLocation(c.url)
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Open(c.file)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Put(t.Context(), "x", strings.NewReader("x"), 1)
		if !errors.Is(err, objects.ErrDenied) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseLocation(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"s3://bucket/a/b?endpoint=https://host:9000&region=eu&path-style=true", ""},
		{"s3://bucket", ""},
		{"file:///var/lib/objects", ""},
		{"s3://key:hunter2@bucket/a", "holds credentials"},
		{"s3://bucket/a?secret_key=hunter2", "holds credentials"},
		{"s3://bucket/a?hunter2=1", "not known"},
		{"s3://bucket/../a", "empty parts or dots"},
		{"s3:///a", "no bucket"},
		{"s3://bucket/a?endpoint=ftp://host", "neither http nor https"},
		{"s3://bucket/a?endpoint=http://u@host", "expected host:port"},
		{"s3://bucket/a?path-style=maybe", "expected true or false"},
		{"http://bucket/a", "scheme"},
		{"file://relative", "file:///directory"},
	} {
		_, err := objects.ParseLocation(c.url)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.url, err, c.want)
		}
	}
}

// faulty fails, cuts short and damages what is read, by turns, but no place more than
// twice: a reader gives up when it is the third time for it. Twice in a row would not do. What
// another goroutine reads of the same place in between ends the row, and not the count of the reader.
type faulty struct {
	objects.Bucket
	mu     sync.Mutex
	n      int
	rate   int // every so manieth
	faults map[int64]int
}

func (f *faulty) ReadRange(ctx context.Context, name string, b []byte, offset int64) error {
	f.mu.Lock()
	f.n++
	n := f.n
	fail := n%f.rate == 0 && f.faults[offset] < 2
	if fail {
		f.faults[offset]++
	}
	f.mu.Unlock()
	if err := f.Bucket.ReadRange(ctx, name, b, offset); err != nil || !fail {
		return err
	}
	if n/f.rate%2 == 0 {
		return errors.Join(objects.ErrAway, io.ErrUnexpectedEOF)
	}
	b[len(b)/2] ^= 0x40
	return nil
}

// TestReader reads random ranges at the same time, through caches of all sizes and
// from a storage that often fails.
func TestReader(t *testing.T) {
	const piece, size = 1 << 10, 100<<10 + 77
	data := make([]byte, size)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	sums := func(n int64) uint32 {
		return crc32.Checksum(data[n*piece:min((n+1)*piece, size)], crc32.MakeTable(crc32.Castagnoli))
	}
	dir := objects.NewDir(t.TempDir())
	if err := dir.Put(t.Context(), "o", bytes.NewReader(data), size); err != nil {
		t.Fatal(err)
	}
	for name, limit := range map[string]int64{"none": 0, "one piece": piece, "tiny": 5 * piece, "all": 2 * size} {
		t.Run(name, func(t *testing.T) {
			cacheDir := t.TempDir()
			cache, err := objects.NewCache(cacheDir, limit, piece)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cache.Close() }()
			if left, err := os.ReadDir(cacheDir); err != nil || len(left) > 0 {
				t.Errorf("the cache leaves %v, %v", left, err)
			}
			r := objects.Reader{
				Context: t.Context(), Cache: cache, PieceBytes: piece,
				Bucket: &objects.Patient{Bucket: &faulty{Bucket: dir, rate: 5, faults: make(map[int64]int)}, Pause: time.Microsecond},
			}
			f := r.Open("o", size, sums)
			var wg sync.WaitGroup
			for seed := range uint64(4) {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, 3))
					for range 60 {
						at := rnd.Int64N(size)
						b := make([]byte, 1+rnd.IntN(8*piece))
						n, err := f.ReadAt(b, at)
						if at+int64(len(b)) > size && errors.Is(err, io.EOF) {
							err = nil
						}
						want := data[at:min(at+int64(len(b)), size)]
						if err != nil || !bytes.Equal(b[:n], want) {
							t.Errorf("%d bytes from %d: %v, right: %v", len(b), at, err, bytes.Equal(b[:n], want))
							return
						}
					}
				})
			}
			wg.Wait()
			if n := cache.Bytes(); n > limit {
				t.Errorf("%d bytes in a cache of %d", n, limit)
			}
			cache.Forget("o", size)
			if n := cache.Bytes(); n != 0 {
				t.Errorf("%d bytes left", n)
			}
		})
	}
}

// TestDamagedObject reads what has other bytes than it should: an error, no bytes.
func TestDamagedObject(t *testing.T) {
	dir := objects.NewDir(t.TempDir())
	if err := dir.Put(t.Context(), "o", strings.NewReader("content"), 7); err != nil {
		t.Fatal(err)
	}
	cache, err := objects.NewCache(t.TempDir(), 1<<20, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cache.Close() }()
	r := objects.Reader{Context: t.Context(), Cache: cache, PieceBytes: 1 << 10, Bucket: dir}
	if _, err := r.Open("o", 7, func(int64) uint32 { return 1 }).ReadAt(make([]byte, 3), 0); !errors.Is(err, objects.ErrDamaged) {
		t.Errorf("wrong checksum: %v", err)
	}
	if _, err := r.Open("o", 9, nil).ReadAt(make([]byte, 9), 0); !errors.Is(err, objects.ErrDamaged) {
		t.Errorf("cut short: %v", err)
	}
}

// TestOutage kills the server in the middle of everything.
func TestOutage(t *testing.T) {
	server := objectstest.Start(t)
	b := &objects.Patient{Bucket: server.Open(t, "p"), Attempts: 30, Pause: 20 * time.Millisecond}
	content := bytes.Repeat([]byte("x"), 1<<20)
	done := make(chan error, 1)
	go func() {
		var err error
		for i := range 40 {
			err = errors.Join(err, b.Put(t.Context(), string(rune('a'+i%26)), bytes.NewReader(content), int64(len(content))))
			got := make([]byte, 1000)
			err = errors.Join(err, b.ReadRange(t.Context(), string(rune('a'+i%26)), got, 5000))
			if !bytes.Equal(got, content[:1000]) {
				err = errors.Join(err, errors.New("other bytes"))
			}
		}
		done <- err
	}()
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		server.Kill()
		server.Restart(t)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	server.Kill()
	once := &objects.Patient{Bucket: b.Bucket, Attempts: 2, Pause: time.Millisecond}
	for range 2 {
		if _, err := once.Get(t.Context(), "a", 1<<30); !errors.Is(err, objects.ErrAway) || !once.Failing() {
			t.Errorf("while the server is away: %v", err)
		}
	}
	server.Restart(t)
	if _, err := once.Get(t.Context(), "a", 1<<30); err != nil || once.Failing() {
		t.Errorf("after it came back: %v", err)
	}
}
