// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strobe-profiler/strobe/libpf"
)

// newFixture makes the directory of the present format anew. It is made once for each
// format that a version was released with, and then never again.
var newFixture = flag.Bool("new-fixture", false, "write testdata/format-N.tar.gz of the present format")

// known is what is known of the directory of a format: testdata/format-N.json.
type known struct {
	Epoch   string   `json:"epoch"`
	Levels  []int    `json:"levels"` // of its blocks
	Stacks  []string `json:"stacks"` // sums of their frames
	Answers []struct {
		Rows    int    `json:"rows"`
		Samples int64  `json:"samples"`
		SHA256  string `json:"sha256"`
	} `json:"answers"`
}

// look finds out what is known of a store.
func look(t *testing.T, s *Store) (k known) {
	t.Helper()
	sum := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.Sum256(b)
		return hex.EncodeToString(h[:])
	}
	epoch := s.Epoch()
	k.Epoch = hex.EncodeToString(epoch[:])
	for _, b := range s.blocks {
		k.Levels = append(k.Levels, int(b.info.Level))
	}
	for seq := range uint64(20) {
		stack := diskStack(seq)
		found, err := s.Stacks(t.Context(), "default", []libpf.TraceHash{stack.Hash})
		if err != nil {
			t.Fatal(err)
		}
		k.Stacks = append(k.Stacks, sum(found))
	}
	for _, rows := range answers(t, s) {
		a := struct {
			Rows    int    `json:"rows"`
			Samples int64  `json:"samples"`
			SHA256  string `json:"sha256"`
		}{Rows: len(rows), SHA256: sum(rows)}
		for _, r := range rows {
			a.Samples += r.Count
		}
		k.Answers = append(k.Answers, a)
	}
	return k
}

// packDir writes a directory as an archive, without what is not data.
func packDir(t *testing.T, dir, archive string) {
	t.Helper()
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w := tar.NewWriter(z)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || !e.Type().IsRegular() || name == "reserve" || name == "LOCK" || name == "meta/LOCK" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o640, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(archive, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unpackDir makes a directory of an archive.
func unpackDir(t *testing.T, archive string) string {
	t.Helper()
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(path, content, 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFormats opens what each released format left behind, as a crash leaves it: with
// blocks of several levels, samples in the log alone, and packed definitions. Answers are the same
// before and after it is upgraded, written to, merged and opened again, and what came before is
// still known as a repeat.
func TestFormats(t *testing.T) {
	if *newFixture {
		s := filledStore(t, t.TempDir(), nil)
		if err := s.packStacks(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, mixedBatch(6, "default", 400))
		name := "testdata/format-" + strconv.Itoa(formatWritten)
		packDir(t, s.cfg.Dir, name+".tar.gz")
		b, err := json.MarshalIndent(look(t, s), "", "  ")
		if err == nil {
			err = os.WriteFile(name+".json", append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	archives, err := filepath.Glob("testdata/format-*.tar.gz")
	if err != nil || !slices.Contains(archives, "testdata/format-"+strconv.Itoa(formatWritten)+".tar.gz") {
		t.Fatalf("there is no directory of format %d: %v, %v", formatWritten, archives, err)
	}
	for _, archive := range archives {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			var want known
			b, err := os.ReadFile(strings.TrimSuffix(archive, ".tar.gz") + ".json")
			if err == nil {
				err = json.Unmarshal(b, &want)
			}
			if err != nil {
				t.Fatal(err)
			}
			dir := unpackDir(t, archive)
			if problems, _ := findings(t, dir, nil); len(problems) > 0 {
				t.Errorf("before: %v", problems)
			}
			s := openTest(t, Config{Dir: dir})
			if d := difference(want, look(t, s)); d != "" {
				t.Errorf("answers are not those of its program:\n%s", d)
			}
			if f, err := readFormat(dir); err != nil || f != current {
				t.Errorf("the directory says %+v, %v", f, err)
			}
			if duplicate, err := s.Append(t.Context(), mixedBatch(6, "default", 400)); err != nil || !duplicate {
				t.Errorf("a batch from before is new: %v, %v", duplicate, err)
			}
			mustAppend(t, s, mixedBatch(7, "default", 500))
			if err := s.flushHead(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			after := answers(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openTest(t, Config{Dir: dir})
			if d := difference(after, answers(t, s)); d != "" {
				t.Errorf("answers changed:\n%s", d)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if problems, _ := findings(t, dir, nil); len(problems) > 0 {
				t.Errorf("after: %v", problems)
			}
		})
	}
}

// contents are the files of a directory with their contents.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || e.Name() == "LOCK" {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNewerFormat has directories of programs that do not exist yet: nothing touches
// them, and the error says which program to use.
func TestNewerFormat(t *testing.T) {
	dir := t.TempDir()
	s := filledStore(t, dir, nil)
	whole := backup(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error, want string) {
		t.Helper()
		if !errors.Is(err, errFormat) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	path := filepath.Join(dir, formatFile)
	if err := os.WriteFile(path, []byte(`{"format":3,"needs":"0.2","more":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	_, err := Open(Config{Dir: dir})
	refused("open", err, "format 3, it reads 1 to 2; nothing was changed: use Strobe 0.2 or newer")
	_, err = VerifyDir(t.Context(), dir, nil, func(*Finding) {})
	refused("verify", err, "use Strobe 0.2 or newer")
	if d := difference(before, contents(t, dir)); d != "" {
		t.Errorf("the directory was changed:\n%s", d)
	}

	// What a backup of it is restored into is not opened, either.
	newer := filepath.Join(t.TempDir(), "backup")
	if _, err := Unpack(t.Context(), bytes.NewReader(whole), newer); err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(newer)
	if err != nil || !slices.ContainsFunc(m.Files, func(f ManifestFile) bool { return f.Path == formatFile }) {
		t.Fatalf("a backup does not say of which format it is: %v", err)
	}

	for text, want := range map[string]string{"": "says nothing", "2": "says nothing", `{"format":-1}`: "says nothing"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}

	// The definitions say it as well, in case the file is lost.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	db, err := openPebble(filepath.Join(dir, "meta"), vfs.Default, s.logger, 1<<20)
	if err == nil {
		err = errors.Join(db.Set([]byte(keyFormat), []byte("3"), pebble.Sync), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Config{Dir: dir})
	refused("open without the file", err, "format 3")
}

// TestMetaFormat holds that the version of Pebble's files is chosen and not found:
// an update of the library must not keep the minor version before from them.
func TestMetaFormat(t *testing.T) {
	want := map[int]uint64{2: 24}[formatWritten]
	s := openTest(t, Config{Dir: t.TempDir()})
	if got := uint64(s.db.FormatMajorVersion()); got != want {
		t.Errorf("Pebble writes format %d, a directory of format %d has %d: raise formatRead first, and formatWritten a minor version later", got, formatWritten, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
