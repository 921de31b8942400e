// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Dir is a directory, of a network file system for example, as object storage.
type Dir struct{ root string }

var _ Bucket = (*Dir)(nil)

// NewDir returns a directory as object storage. It is created when the first object is put.
func NewDir(root string) *Dir { return &Dir{root: root} }

// String implements [Bucket].
func (d *Dir) String() string { return "file://" + d.root }

// partial ends the names of files that are not whole yet.
const partial = ".partial"

func (d *Dir) path(name string) (string, error) {
	if !filepath.IsLocal(name) || strings.HasSuffix(name, partial) {
		return "", fmt.Errorf("%q is not the name of an object", name)
	}
	return filepath.Join(d.root, filepath.FromSlash(name)), nil
}

// dirError says what an error of the file system means.
func dirError(what, name string, err error) error {
	meaning := ErrAway
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		meaning = ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		meaning = ErrDenied
	}
	return fmt.Errorf("%s %s: %w: %w", what, name, meaning, err)
}

// Put implements [Bucket].
func (d *Dir) Put(_ context.Context, name string, r io.ReadSeeker, size int64) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err = os.MkdirAll(filepath.Dir(path), 0o750); err == nil {
		err = d.write(path, r, size)
	}
	return dirError("put object", name, err)
}

func (d *Dir) write(path string, r io.Reader, size int64) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*"+partial)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	n, err := io.Copy(f, r)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	f, err := os.Open(path) //nolint:gosec // the root, or below it
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// PutNew implements [Bucket].
func (d *Dir) PutNew(_ context.Context, name string, content []byte) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return dirError("put object", name, err)
	}
	// A link fails where a rename would replace.
	whole := path + "-new"
	if err := d.write(whole, bytes.NewReader(content), int64(len(content))); err != nil {
		return dirError("put object", name, err)
	}
	err = os.Link(whole, path)
	_ = os.Remove(whole)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("put object %s: %w", name, ErrExists)
	}
	return dirError("put object", name, err)
}

// Get implements [Bucket].
func (d *Dir) Get(_ context.Context, name string, limit int64) ([]byte, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path) //nolint:gosec // path keeps it inside the root
	if err != nil {
		return nil, dirError("get object", name, err)
	}
	defer func() { _ = f.Close() }() // was only read
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("get object %s: %w: it has more than %d bytes", name, ErrDamaged, limit)
	}
	return b, dirError("get object", name, err)
}

// ReadRange implements [Bucket].
func (d *Dir) ReadRange(_ context.Context, name string, b []byte, offset int64) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	f, err := os.Open(path) //nolint:gosec // path keeps it inside the root
	if err != nil {
		return dirError("read object", name, err)
	}
	defer func() { _ = f.Close() }() // was only read
	if _, err = f.ReadAt(b, offset); errors.Is(err, io.EOF) {
		return fmt.Errorf("read object %s: %w: it ends before byte %d", name, ErrDamaged, offset+int64(len(b)))
	}
	return dirError("read object", name, err)
}

// Delete implements [Bucket].
func (d *Dir) Delete(_ context.Context, name string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return dirError("delete object", name, err)
}

// List implements [Bucket].
func (d *Dir) List(ctx context.Context, prefix string, f func(Object) error) error {
	return filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since, or nothing was put yet
		}
		if err != nil {
			return dirError("list objects in", d.root, err)
		}
		if e.IsDir() {
			return ctx.Err()
		}
		name, err := filepath.Rel(d.root, path)
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		info, err := e.Info()
		if name = filepath.ToSlash(name); err != nil || !strings.HasPrefix(name, prefix) || strings.HasSuffix(name, partial) {
			return nil
		}
		return f(Object{Name: name, Bytes: info.Size(), Modified: info.ModTime()})
	})
}
