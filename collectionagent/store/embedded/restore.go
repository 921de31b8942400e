// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// restoreMark is in a directory until everything that is restored into it is
// there. [Open] refuses such a directory.
const restoreMark = "RESTORE-NOT-FINISHED"

// ErrNotEmpty is returned (wrapped) when something is in the way of a restore.
var ErrNotEmpty = errors.New("directory is not empty")

// maxManifest bounds the manifest of a backup.
const maxManifest = 1 << 30

// Unpack writes a tar archive that [Snapshot.WriteBackup] made into an empty
// directory, which is created when there is none, and checks everything against its
// manifest. The result is a backup as a directory.
func Unpack(ctx context.Context, r io.Reader, dir string) (*Manifest, error) {
	if err := emptyDir(dir); err != nil {
		return nil, err
	}
	dirs := map[string]bool{dir: true}
	m, err := readArchive(ctx, r, func(h *tar.Header, r io.Reader) (ManifestFile, error) {
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		dirs[filepath.Dir(path)] = true
		return unpackFile(r, path, h)
	})
	if err != nil {
		return nil, err
	}
	for d := range dirs {
		if err := syncDir(d); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// CheckArchive reads a tar archive to its end and checks everything against its manifest.
func CheckArchive(ctx context.Context, r io.Reader) (*Manifest, error) {
	m, err := readArchive(ctx, r, func(h *tar.Header, r io.Reader) (ManifestFile, error) {
		var s summer
		_, err := io.Copy(&s, r)
		return ManifestFile{Path: h.Name, Bytes: s.size, CRC: s.whole}, err
	})
	if err == nil {
		_, err = io.Copy(io.Discard, r) // what fills the archive up
	}
	return m, err
}

// readArchive hands each file of an archive to take, and compares what that read
// with the manifest.
func readArchive(ctx context.Context, r io.Reader, take func(*tar.Header, io.Reader) (ManifestFile, error)) (*Manifest, error) {
	var m *Manifest
	got := make(map[string]ManifestFile)
	t := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read backup: %w", err)
		}
		_, double := got[h.Name]
		switch {
		case h.Typeflag != tar.TypeReg || isSparse(h) || !filepath.IsLocal(h.Name) || strings.Contains(h.Name, "\\"):
			return nil, fmt.Errorf("read backup: %q is not a file of a backup", h.Name)
		case m != nil:
			return nil, fmt.Errorf("read backup: %s comes behind the manifest", h.Name)
		case double:
			return nil, fmt.Errorf("read backup: %s is there twice", h.Name)
		}
		var content io.Reader = t
		if h.Name == ManifestName {
			text, err := io.ReadAll(io.LimitReader(t, maxManifest))
			if err != nil {
				return nil, fmt.Errorf("read backup: %w", err)
			}
			if m, err = decodeManifest(text); err != nil {
				return nil, err
			}
			content = bytes.NewReader(text)
		}
		if got[h.Name], err = take(h, content); err != nil {
			return nil, fmt.Errorf("take %s from backup: %w", h.Name, err)
		}
	}
	if m == nil {
		return nil, fmt.Errorf("read backup: it has no %s at its end: it was cut short, or is no backup", ManifestName)
	}
	delete(got, ManifestName)
	return m, m.compare(got)
}

// isSparse reports whether an entry says of what it holds that it is mostly zeros. A backup
// has none, and one of a few bytes would fill any disk.
func isSparse(h *tar.Header) bool {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// compare compares what was read with what the backup should hold.
func (m *Manifest) compare(got map[string]ManifestFile) error {
	var errs []error
	for _, want := range m.Files {
		f, ok := got[want.Path]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("%s is missing", want.Path))
		case f != want:
			errs = append(errs, fmt.Errorf("%s: %w: it has %d bytes, %d are right", want.Path, errSum, f.Bytes, want.Bytes))
		}
		delete(got, want.Path)
	}
	for path := range got {
		errs = append(errs, fmt.Errorf("%s is not in the manifest", path))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("backup is damaged, use another one: %w", err)
	}
	return nil
}

// unpackFile writes one file and makes it durable.
func unpackFile(r io.Reader, path string, h *tar.Header) (entry ManifestFile, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return entry, err
	}
	return writeSynced(r, path, fs.FileMode(h.Mode&0o770), h.Name)
}

// writeSynced writes a file that must not be there and makes it durable.
func writeSynced(r io.Reader, path string, mode fs.FileMode, name string) (entry ManifestFile, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // inside the directory: what is not is refused where names are read
	if err != nil {
		return entry, err
	}
	var s summer
	_, err = io.Copy(io.MultiWriter(f, &s), r)
	if err == nil {
		err = f.Sync()
	}
	return ManifestFile{Path: name, Bytes: s.size, CRC: s.whole}, errors.Join(err, f.Close())
}

// emptyDir makes sure that there is an empty directory.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return fmt.Errorf("%w: %s has %s in it; choose another one, or move what it holds away", ErrNotEmpty, dir, e.Name())
		}
	}
	return nil
}

// ReadManifest reads the manifest of a backup that is a directory.
func ReadManifest(dir string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, ManifestName)) //nolint:gosec // named by the operator
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return decodeManifest(text)
}

func decodeManifest(text []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("backup has format %d, this program reads %d: restore it with the version of Strobe that made it", m.Format, manifestFormat)
	}
	return &m, nil
}

// Restore makes an empty directory the data directory of a store from a backup,
// which source returns as a tar archive, or is a directory. The store goes on where the
// backup ends: the same batches are taken for repeats. Its epoch is new, so that agents
// send their definitions again: some may be newer than the backup.
func Restore(ctx context.Context, backup string, archive io.Reader, dir string) (m *Manifest, err error) {
	if err := emptyDir(dir); err != nil {
		return nil, err
	}
	inner := filepath.Join(dir, restoreMark)
	if archive != nil {
		m, err = Unpack(ctx, archive, inner)
	} else {
		m, err = copyBackup(ctx, backup, inner)
	}
	if err != nil {
		return nil, err
	}
	if _, err := readFormat(inner); err != nil {
		return nil, err
	}
	if err := renew(filepath.Join(inner, "meta")); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(inner, ManifestName)); err != nil {
		return nil, fmt.Errorf("finish restore: %w", err)
	}
	for _, d := range []string{"blocks", "wal"} { // a store may have none in them
		if err := os.MkdirAll(filepath.Join(inner, d), 0o750); err != nil {
			return nil, fmt.Errorf("finish restore: %w", err)
		}
	}
	entries, err := os.ReadDir(inner)
	if err != nil {
		return nil, fmt.Errorf("finish restore: %w", err)
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(inner, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return nil, fmt.Errorf("finish restore: %w", err)
		}
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	if err := os.Remove(inner); err != nil {
		return nil, fmt.Errorf("finish restore: %w", err)
	}
	return m, syncDir(dir)
}

// copyBackup copies a backup that is a directory and checks it on the way.
func copyBackup(ctx context.Context, from, to string) (*Manifest, error) {
	m, err := ReadManifest(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no %s: it is no backup, or one that was cut short: %w", from, ManifestName, err)
	} else if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to, 0o750); err != nil {
		return nil, fmt.Errorf("create directory: %w", err)
	}
	dirs := map[string]bool{to: true}
	got := make(map[string]ManifestFile, len(m.Files))
	for _, f := range m.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !filepath.IsLocal(f.Path) {
			return nil, fmt.Errorf("read manifest: %q is not a file of a backup", f.Path)
		}
		path := filepath.Join(to, filepath.FromSlash(f.Path))
		dirs[filepath.Dir(path)] = true
		entry, err := copyFile(filepath.Join(from, filepath.FromSlash(f.Path)), path, f.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // compare says which
		} else if err != nil {
			return nil, fmt.Errorf("copy %s: %w", f.Path, err)
		}
		got[f.Path] = entry
	}
	if err := m.compare(got); err != nil {
		return nil, err
	}
	if _, err := copyFile(filepath.Join(from, ManifestName), filepath.Join(to, ManifestName), ManifestName); err != nil {
		return nil, fmt.Errorf("copy manifest: %w", err)
	}
	for d := range dirs {
		if err := syncDir(d); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// copyFile copies one file durably, with its permissions.
func copyFile(from, to, name string) (entry ManifestFile, err error) {
	f, err := os.Open(from) //nolint:gosec // inside the backup: what is not is refused above
	if err != nil {
		return entry, err
	}
	defer func() { _ = f.Close() }() // was only read
	info, err := f.Stat()
	if err != nil {
		return entry, err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return entry, err
	}
	return writeSynced(f, to, info.Mode().Perm()&0o770, name)
}

// renew makes the definitions of a backup those of a store of its own: it has another
// epoch, all its blocks are in its directory, and no object storage is its own.
func renew(dir string) (err error) {
	db, err := openPebble(dir, vfs.Default, slog.New(slog.DiscardHandler), 64<<20)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := loadMeta(db); err != nil {
		return err
	}
	var epoch [16]byte
	_, _ = rand.Read(epoch[:]) // cannot fail
	batch := db.NewBatch()
	err = errors.Join(batch.Set([]byte(keyEpoch), epoch[:], nil), batch.Delete([]byte(keyOwner), nil))
	err = errors.Join(err, scan(db, []byte{keyBlock}, func(key, value []byte) error {
		info, err := decodeBlockInfo(value)
		if err != nil || !info.Remote {
			return err
		}
		info.Remote = false
		entry, err := info.encode()
		if err != nil {
			return err
		}
		return batch.Set(slices.Clone(key), entry, nil)
	}))
	if err == nil {
		err = batch.Commit(pebble.Sync)
	}
	return errors.Join(err, batch.Close())
}

// checkRestored returns an error when a restore into a directory did not end.
func checkRestored(dir string) error {
	entries, err := os.ReadDir(filepath.Join(dir, restoreMark))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for an unfinished restore: %w", err)
	case len(entries) == 0:
		return os.Remove(filepath.Join(dir, restoreMark)) // it ended but for this
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return fmt.Errorf("a restore into this directory did not finish (%s is left of it): empty the directory and restore again",
		restoreMark+"/{"+strings.Join(names, ",")+"}")
}
