// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// eachEntry calls f with every entry of an archive whose name stays below the folder
// that it is unpacked in, until f says that it is done.
func eachEntry(r io.Reader, f func(h *tar.Header, data io.Reader) (done bool, err error)) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(h.Name) {
			continue
		}
		if done, err := f(h, t); done || err != nil {
			return err
		}
	}
}

// extract writes a file out of an archive, and the folders above it.
func extract(h *tar.Header, data io.Reader, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // no secret
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, h.FileInfo().Mode().Perm()) //nolint:gosec // named by the caller
	if err != nil {
		return err
	}
	_, err = io.Copy(f, data) //nolint:gosec // a package that was verified, or what a guest was asked for
	return errors.Join(err, f.Close())
}
